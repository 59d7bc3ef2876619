{% if shared %}
// attention_shared: what a piece of a prefix adds to the attention of all sequences that begin with it: for each of their query
// heads, into scratch0, Σ exp(score - highest)·V, then (highest, Σ exp(score - highest)). Grid: x = KV head, y = work: pieces one
// after another. A row is a query head of one of the sequences, {{ "RMS-normalised and " if qk_norm }}rotated here; up to {{ ROWS }} share the keys and values that are read.
// Of each row all positions are past{{ ", if its window reaches them" if window }}.
{% else %}
// attention_prefill: y[t, h] = softmax(q[t, h] · Kᵀ · scale) · V for tiles of up to {{ TILE_ROWS }} consecutive tokens of one
// sequence; each token sees {{ "what its mask says" if mask else "the positions up to its own" }}. Grid: x = {{ HEADS }} query head(s) of a KV head, y = tile.
// A row is a token of one of the heads: all rows share the keys and values that are read.
{% endif %}
// Keys go by in tiles of {{ KEYS }} with a running maximum and sum per row (online softmax). Scores: an invocation owns one key for all rows, {{ BLOCK }} at a time; softmax:
// {{ TEAM }} share four rows; values: an invocation owns {{ OWN }} word(s) of {{ WIDTH }} column(s) for {{ ROWS // ROW_GROUPS }} rows, which it writes.
{% from "attention.wgsl" import page_row, keys, values, capped, quad, columns, sees, rotated_query with context %}
{% from "turn.wgsl" import turn_functions %}
{% include "bindings.wgsl" %}

{% set QUADS = D // 4 %}
{% set ROW_QUADS = ROWS // 4 %}
{% set OWN_QUADS = ROW_QUADS // ROW_GROUPS %}
// Four rows of a key at a time.
var<workgroup> scores: array<vec4<f32>, {{ KEYS * ROW_QUADS }}>;
var<workgroup> places: array<u32, {{ KEYS }}>;
{% if int8 %}
var<workgroup> value_scales: array<f32, {{ KEYS }}>;
{% endif %}
var<workgroup> partial: array<vec4<f32>, {{ THREADS }}>;
var<workgroup> states: array<vec4<f32>, {{ 2 * ROW_QUADS }}>;

{% if shared %}
var<workgroup> queries: array<vec4<f32>, {{ ROWS * QUADS }}>;
{{ turn_functions("vec4<f32>", QUARTER_TURN) }}
{{ rotated_query() }}
{% endif %}
{{ page_row() }}
{{ capped("vec4<f32>") }}
{% if mask %}
{{ sees() }}
// Scores of four tokens from `first` on, of which `last` is the last, for a key: those that may not see it get a score that weighs nothing.
fn masked(score: vec4<f32>, key: u32, first: u32, last: u32) -> vec4<f32> {
  var kept = vec4<f32>(-3.0e38f);
  for (var t = first; t <= min(first + 3u, last); t++) {
    if (sees(t, key)) {
      kept[t - first] = score[t - first];
    }
  }
  return kept;
}
{% elif shared %}
{% if window %}
// Scores of four rows, each of which sees positions from one on: those before get a score that weighs nothing.
fn masked(score: vec4<f32>, key: u32, first: vec4<u32>) -> vec4<f32> {
  return select(vec4<f32>(-3.0e38f), score, vec4<u32>(key) >= first);
}
{% endif %}
{% else %}
// Scores of four tokens from position `first` on for a key: those that may not see it get a score that weighs nothing.
fn masked(score: vec4<f32>, key: u32, first: u32) -> vec4<f32> {
  let position = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
{% if window %}
  return select(vec4<f32>(-3.0e38f), score, (vec4<u32>(key) <= position) & (position < vec4<u32>(key + {{ WINDOW }}u)));
{% else %}
  return select(vec4<f32>(-3.0e38f), score, vec4<u32>(key) <= position);
{% endif %}
}
{% endif %}
{% set masks = not shared or window %}
{% set more = ", last" if mask else "" %}

{% if shared %}
// Piece: the first item of `work` that names one of its rows, first and end position, rows. Takes up to {{ ROWS }} queries.
fn attend(tid: u32, kv_head: u32, piece: vec4<u32>, first_query: u32) {
  let count_queries = min(piece.w * {{ GROUP }}u - first_query, {{ ROWS }}u);
  let seq = u32(work[piece.x].x);
  let context = piece.z;
  for (var i = tid; i < {{ ROWS * QUADS // 2 }}u; i += {{ THREADS }}u) {
    let query = first_query + min(i / {{ QUADS // 2 }}u, count_queries - 1u);
    let at = i / {{ QUADS // 2 }}u * {{ QUADS }}u + i % {{ QUADS // 2 }}u;
    let turned = rotated_query(u32(work[piece.x + query / {{ GROUP }}u].x), kv_head * {{ GROUP }}u + query % {{ GROUP }}u, i % {{ QUADS // 2 }}u);
    queries[at] = turned.low;
    queries[at + {{ QUADS // 2 }}u] = turned.high;
  }
  workgroupBarrier();
  let member = tid % {{ TEAM }}u;
  let team = tid - member;
  let row_quad = min(tid / {{ TEAM }}u, {{ ROW_QUADS - 1 }}u);
{% if window %}
  var seen_from: vec4<u32>;
  for (var i = 0u; i < 4u; i++) {
    let query = first_query + min(4u * row_quad + i, count_queries - 1u);
    seen_from[i] = first_seen(u32(work[piece.x + query / {{ GROUP }}u].x));
  }
  // No row sees what is before.
  var start = piece.z;
  for (var i = 0u; i < piece.w; i++) {
    start = min(start, first_seen(u32(work[piece.x + i].x)));
  }
  start = max(start, piece.y);
{% else %}
  let start = piece.y;
{% endif %}
{% else %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let kv_head = group.x / {{ PARTS }}u;
  let first_head = kv_head * {{ GROUP }}u + group.x % {{ PARTS }}u * {{ HEADS }}u;
  let tile = tiles[group.y];
  let first = u32(tile.x);
  let rows = clamp(u32(tile.y), 1u, {{ TILE_ROWS }}u);
  let seq = u32(tile.z);
  let position = u32(tile.w);
{% if mask %}
  let last = first + rows - 1u;
  var context = 0u;
  for (var t = first; t <= last; t++) {
    context = max(context, mask[t * params.mask_words + 1u]);
  }
  context = min(context, params.max_pages * {{ PAGE }}u);
{% else %}
  let context = min(position + rows, params.max_pages * {{ PAGE }}u);
{% endif %}
  let member = tid % {{ TEAM }}u;
  let team = tid - member;
  let row_quad = min(tid / {{ TEAM }}u, {{ ROW_QUADS - 1 }}u);
  // Tokens of the four rows: the {{ TILE_ROWS }} of a head follow one another.
  let seen_from = {{ "first" if mask else "position" }} + row_quad % {{ TILE_ROWS // 4 }}u * 4u;
{% if mask and window %}
  var start = context;
  for (var t = first; t <= last; t++) {
    start = min(start, min(mask[t * params.mask_words], first_seen(t)));
  }
{% elif window %}
  let start = max(position + 1u, {{ WINDOW }}u) - {{ WINDOW }}u;
{% else %}
  let start = 0u;
{% endif %}
{% endif %}
  let column = tid % {{ COLUMNS }}u;
{% if ROW_GROUPS > 1 %}
  let own_quad = tid / {{ COLUMNS }}u * {{ OWN_QUADS }}u;
{% else %}
  let own_quad = 0u;
{% endif %}

  var highest = vec4<f32>(-3.0e38f);
  // Every invocation keeps its own part of its rows' sums of weights; the parts meet after the last tile.
  var total = vec4<f32>();
{% for r in range(OWN_QUADS) %}
{% for w in range(OWN) %}
{% for x in range(WIDTH) %}
  var sum{{ r }}_{{ w }}_{{ x }} = vec4<f32>();
{% endfor %}
{% endfor %}
{% endfor %}
  for (var begin = start; begin < context; begin += {{ KEYS }}u) {
    let count = min(context - begin, {{ KEYS }}u);
    let place = page_row(seq, kv_head, begin + min(tid, count - 1u));
    places[tid] = place;
{% if int8 %}
    let scales = scales_of(place);
    value_scales[tid] = scales.y;
{% endif %}
{% if shared %}
    for (var block = 0u; block * {{ BLOCK }}u < count_queries; block++) {
{% for r in range(BLOCK) %}
      let row{{ r }} = (block * {{ BLOCK }}u + {{ r }}u) * {{ QUADS }}u;
      var score{{ r }} = 0.0f;
{% endfor %}
{% else %}
    for (var block = 0u; block < {{ ROWS // BLOCK }}u; block++) {
      let token = block % {{ TILE_ROWS // BLOCK }}u * {{ BLOCK }}u;
      let head = min(first_head + block / {{ TILE_ROWS // BLOCK }}u, (kv_head + 1u) * {{ GROUP }}u - 1u);
{% for r in range(BLOCK) %}
      let row{{ r }} = ((first + min(token + {{ r }}u, rows - 1u)) * {{ H }}u + head) * {{ QUADS }}u;
      var score{{ r }} = 0.0f;
{% endfor %}
{% endif %}
      for (var c = 0u; c < params.chunks; c++) {
        let k = kv_k[{{ keys("place") }} + c];
{% for n in range(QPC) %}
        let k{{ n }} = {{ quad("k", n) }};
{% for r in range(BLOCK) %}
        score{{ r }} += dot({{ "queries" if shared else "q" }}[row{{ r }} + c * {{ QPC }}u + {{ n }}u], k{{ n }});
{% endfor %}
{% endfor %}
      }
{% for r in range(BLOCK // 4) %}
      scores[tid * {{ ROW_QUADS }}u + block * {{ BLOCK // 4 }}u + {{ r }}u] =
        capped(vec4<f32>(score{{ 4 * r }}, score{{ 4 * r + 1 }}, score{{ 4 * r + 2 }}, score{{ 4 * r + 3 }}){{ " * %s" % (SCALE | f32) if not shared }}{{ " * scales.x" if int8 }});
{% endfor %}
    }
    workgroupBarrier();

    var tile_highest = highest;
    for (var i = member; i < count; i += {{ TEAM }}u) {
      {% set score = "scores[i * %du + row_quad]" % ROW_QUADS %}
      tile_highest = max(tile_highest, {{ "masked(%s, begin + i, seen_from%s)" % (score, more) if masks else score }});
    }
    partial[tid] = tile_highest;
    workgroupBarrier();
    for (var i = team; i < team + {{ TEAM }}u; i++) {
      tile_highest = max(tile_highest, partial[i]);
    }
    let decay = exp(highest - tile_highest);
    highest = tile_highest;
    total *= decay;
    if (tid < {{ ROW_QUADS * TEAM }}u) {
      for (var i = member; i < count; i += {{ TEAM }}u) {
        let score = {{ "masked(%s, begin + i, seen_from%s)" % (score, more) if masks else score }};
        // A row that has seen nothing yet has no highest score to compare with.
        let weight = select(exp(score - highest), vec4<f32>(), score <= vec4<f32>(-2.0e38f));
        scores[i * {{ ROW_QUADS }}u + row_quad] = weight{{ " * value_scales[i]" if int8 }};
        total += weight;
      }
      if (member == 0u) {
        states[row_quad] = decay;
      }
    }
    workgroupBarrier();

{% if COLUMNS * ROW_GROUPS < THREADS %}
    if (tid < {{ COLUMNS * ROW_GROUPS }}u) {
{% else %}
    {
{% endif %}
{% for r in range(OWN_QUADS) %}
      let decay{{ r }} = states[own_quad + {{ r }}u];
{% for w in range(OWN) %}
{% for x in range(WIDTH) %}
      sum{{ r }}_{{ w }}_{{ x }} *= decay{{ r }};
{% endfor %}
{% endfor %}
{% endfor %}
      for (var i = 0u; i < count; i++) {
        let word = places[i] * {{ D // 4 if int8 else 4 }}u + column;
{% for w in range(OWN) %}
        let v{{ w }} = {{ columns("kv_v[word + %du]" % (w * COLUMNS)) }};
{% endfor %}
{% for r in range(OWN_QUADS) %}
        let weight{{ r }} = scores[i * {{ ROW_QUADS }}u + own_quad + {{ r }}u];
{% for w in range(OWN) %}
{% for x in range(WIDTH) %}
        sum{{ r }}_{{ w }}_{{ x }} += weight{{ r }} * v{{ w }}{{ "." ~ "xyzw"[x] if WIDTH > 1 else "" }};
{% endfor %}
{% endfor %}
{% endfor %}
      }
    }
    workgroupBarrier();
  }

  partial[tid] = total;
  workgroupBarrier();
  total = vec4<f32>();
  for (var i = team; i < team + {{ TEAM }}u; i++) {
    total += partial[i];
  }
  if (tid < {{ ROW_QUADS * TEAM }}u && member == 0u) {
{% if shared %}
    states[row_quad] = total;
    states[{{ ROW_QUADS }}u + row_quad] = highest;
{% elif sinks %}
    let sink = vec4<f32>(sinks[min(first_head + row_quad / {{ TILE_ROWS // 4 }}u, {{ H - 1 }}u)]);
    let most = max(highest, sink);
    let share = exp(highest - most);
    states[row_quad] = share / (total * share + exp(sink - most));
{% else %}
    states[row_quad] = vec4<f32>(1.0f) / total;
{% endif %}
  }
  workgroupBarrier();
{% if COLUMNS * ROW_GROUPS < THREADS %}
  if (tid < {{ COLUMNS * ROW_GROUPS }}u) {
{% else %}
  {
{% endif %}
    // Not unrolled, for the sake of adapters that compile slowly.
{% for r in range(OWN_QUADS) %}
    {
{% if shared %}
      let query = (own_quad + {{ r }}u) * 4u;
      for (var t = 0u; t < min(max(count_queries, query) - query, 4u); t++) {
        let i = first_query + query + t;
        let part = u32(work[piece.x + i / {{ GROUP }}u].y);
        let out = (part * {{ H }}u + kv_head * {{ GROUP }}u + i % {{ GROUP }}u) * {{ (D + 4) // WIDTH }}u;
{% for w in range(OWN) %}
{% if WIDTH > 1 %}
        scratch0[out + column + {{ w * COLUMNS }}u] = {{ output }}({% for x in range(WIDTH) %}sum{{ r }}_{{ w }}_{{ x }}[t]{{ ", " if not loop.last }}{% endfor %});
{% else %}
        scratch0[out + column + {{ w * COLUMNS }}u] = sum{{ r }}_{{ w }}_0[t];
{% endif %}
{% endfor %}
        if (column == 0u) {
          let most = states[{{ ROW_QUADS }}u + own_quad + {{ r }}u][t];
          let weight = states[own_quad + {{ r }}u][t];
{% if WIDTH > 1 %}
          scratch0[out + {{ D // WIDTH }}u] = {{ output }}(most, weight{{ ", 0.0f, 0.0f" if WIDTH == 4 }});
{% else %}
          scratch0[out + {{ D }}u] = most;
          scratch0[out + {{ D + 1 }}u] = weight;
{% endif %}
        }
      }
{% else %}
      let inverse = states[own_quad + {{ r }}u];
      let head = first_head + (own_quad + {{ r }}u) / {{ TILE_ROWS // 4 }}u;
      let token = (own_quad + {{ r }}u) % {{ TILE_ROWS // 4 }}u * 4u;
{% if PARTS * HEADS > GROUP %}
      let end = select(0u, min(rows, token + 4u), head < (kv_head + 1u) * {{ GROUP }}u);
{% else %}
      let end = min(rows, token + 4u);
{% endif %}
      for (var t = token; t < end; t++) {
        let out = ((first + t) * {{ H }}u + head) * {{ D // WIDTH }}u + column;
{% for w in range(OWN) %}
{% if WIDTH > 1 %}
        y[out + {{ w * COLUMNS }}u] = {{ output }}({% for x in range(WIDTH) %}sum{{ r }}_{{ w }}_{{ x }}[t - token]{{ ", " if not loop.last }}{% endfor %}) * inverse[t - token];
{% else %}
        y[out + {{ w * COLUMNS }}u] = sum{{ r }}_{{ w }}_0[t - token] * inverse[t - token];
{% endif %}
{% endfor %}
      }
{% endif %}
    }
{% endfor %}
  }
}
{% if shared %}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let list = vec2<u32>(work[params.works + group.y].xy);
  for (var item = list.x; item < list.y; item++) {
    let piece = vec4<u32>(work[item]);
    for (var query = 0u; query < piece.w * {{ GROUP }}u; query += {{ ROWS }}u) {
      attend(tid, group.x, piece, query);
    }
  }
}
{% endif %}
