// attention_prefill: y[t, h] = softmax(q[t, h] · Kᵀ · scale) · V for tiles of up to {{ TILE_ROWS }} consecutive tokens of one
// sequence; each token sees the positions up to its own. Grid: x = {{ HEADS }} query head(s) of a KV head, y = tile.
// A row is a token of one of the heads: all rows share the keys and values that are read. Keys go by in tiles of
// {{ KEYS }} with a running maximum and sum per row (online softmax). Scores: an invocation owns one key for all rows, {{ BLOCK }} at a time; softmax:
// {{ TEAM }} share four rows; values: an invocation owns {{ OWN }} word(s) of {{ WIDTH }} column(s) for {{ ROWS // ROW_GROUPS }} rows, which it writes.
{% from "attention.wgsl" import page_row, capped, quad, columns with context %}
{% include "bindings.wgsl" %}

{% set QUADS = D // 4 %}
{% set ROW_QUADS = ROWS // 4 %}
{% set OWN_QUADS = ROW_QUADS // ROW_GROUPS %}
// Four rows of a key at a time.
var<workgroup> scores: array<vec4<f32>, {{ KEYS * ROW_QUADS }}>;
var<workgroup> places: array<u32, {{ KEYS }}>;
var<workgroup> partial: array<vec4<f32>, {{ THREADS }}>;
var<workgroup> states: array<vec4<f32>, {{ 2 * ROW_QUADS }}>;

{{ page_row() }}
{{ capped("vec4<f32>") }}

// Scores of four tokens from position `first` on for a key: those that may not see it get a score that weighs nothing.
fn masked(score: vec4<f32>, key: u32, first: u32) -> vec4<f32> {
  let position = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
{% if window %}
  return select(vec4<f32>(-3.0e38f), score, (vec4<u32>(key) <= position) & (position < vec4<u32>(key + {{ WINDOW }}u)));
{% else %}
  return select(vec4<f32>(-3.0e38f), score, vec4<u32>(key) <= position);
{% endif %}
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let kv_head = group.x / {{ PARTS }}u;
  let first_head = kv_head * {{ GROUP }}u + group.x % {{ PARTS }}u * {{ HEADS }}u;
  let tile = tiles[group.y];
  let first = u32(tile.x);
  let rows = clamp(u32(tile.y), 1u, {{ TILE_ROWS }}u);
  let seq = u32(tile.z);
  let position = u32(tile.w);
  let context = min(position + rows, params.max_pages * {{ PAGE }}u);
  let member = tid % {{ TEAM }}u;
  let row_quad = min(tid / {{ TEAM }}u, {{ ROW_QUADS - 1 }}u);
  // Tokens of the four rows: the {{ TILE_ROWS }} of a head follow one another.
  let seen_from = position + row_quad % {{ TILE_ROWS // 4 }}u * 4u;
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
{% if window %}
  for (var begin = max(position + 1u, {{ WINDOW }}u) - {{ WINDOW }}u; begin < context; begin += {{ KEYS }}u) {
{% else %}
  for (var begin = 0u; begin < context; begin += {{ KEYS }}u) {
{% endif %}
    let count = min(context - begin, {{ KEYS }}u);
    let place = page_row(seq, kv_head, begin + min(tid, count - 1u));
    places[tid] = place;
    for (var block = 0u; block < {{ ROWS // BLOCK }}u; block++) {
      let token = block % {{ TILE_ROWS // BLOCK }}u * {{ BLOCK }}u;
      let head = min(first_head + block / {{ TILE_ROWS // BLOCK }}u, (kv_head + 1u) * {{ GROUP }}u - 1u);
{% for r in range(BLOCK) %}
      let row{{ r }} = ((first + min(token + {{ r }}u, rows - 1u)) * {{ H }}u + head) * {{ QUADS }}u;
      var score{{ r }} = 0.0f;
{% endfor %}
      for (var c = 0u; c < params.chunks; c++) {
        let k = kv_k[place + c];
{% for n in range(QPC) %}
        let k{{ n }} = {{ quad("k", n) }};
{% for r in range(BLOCK) %}
        score{{ r }} += dot(q[row{{ r }} + c * {{ QPC }}u + {{ n }}u], k{{ n }});
{% endfor %}
{% endfor %}
      }
{% for r in range(BLOCK // 4) %}
      scores[tid * {{ ROW_QUADS }}u + block * {{ BLOCK // 4 }}u + {{ r }}u] =
        capped(vec4<f32>(score{{ 4 * r }}, score{{ 4 * r + 1 }}, score{{ 4 * r + 2 }}, score{{ 4 * r + 3 }}) * {{ SCALE | f32 }});
{% endfor %}
    }
    workgroupBarrier();

    var tile_highest = highest;
    for (var i = member; i < count; i += {{ TEAM }}u) {
      tile_highest = max(tile_highest, masked(scores[i * {{ ROW_QUADS }}u + row_quad], begin + i, seen_from));
    }
    partial[tid] = tile_highest;
    workgroupBarrier();
    for (var i = 0u; i < {{ TEAM }}u; i++) {
      tile_highest = max(tile_highest, partial[tid - member + i]);
    }
    let decay = exp(highest - tile_highest);
    highest = tile_highest;
    total *= decay;
    if (tid < {{ ROW_QUADS * TEAM }}u) {
      for (var i = member; i < count; i += {{ TEAM }}u) {
        let score = masked(scores[i * {{ ROW_QUADS }}u + row_quad], begin + i, seen_from);
        // A row that has seen nothing yet has no highest score to compare with.
        let weight = select(exp(score - highest), vec4<f32>(), score <= vec4<f32>(-2.0e38f));
        scores[i * {{ ROW_QUADS }}u + row_quad] = weight;
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
        let word = places[i] * 4u + column;
{% for w in range(OWN) %}
        let v{{ w }} = {{ columns("kv_v[word + %du]" % (w * COLUMNS)) }};
{% endfor %}
{% for r in range(OWN_QUADS) %}
        let weight{{ r }} = scores[i * {{ ROW_QUADS }}u + own_quad + {{ r }}u];
{% for w in range(OWN) %}
{% for x in range(WIDTH) %}
        sum{{ r }}_{{ w }}_{{ x }} += weight{{ r }} * v{{ w }}{{ "." ~ "xy"[x] if WIDTH > 1 else "" }};
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
  for (var i = 0u; i < {{ TEAM }}u; i++) {
    total += partial[tid - member + i];
  }
  if (tid < {{ ROW_QUADS * TEAM }}u && member == 0u) {
{% if sinks %}
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
      let inverse = states[own_quad + {{ r }}u];
      let head = first_head + (own_quad + {{ r }}u) / {{ TILE_ROWS // 4 }}u;
      let token = (own_quad + {{ r }}u) % {{ TILE_ROWS // 4 }}u * 4u;
{% if PARTS * HEADS > GROUP %}
      let end = select(0u, min(rows, token + 4u), head < (kv_head + 1u) * {{ GROUP }}u);
{% else %}
      let end = min(rows, token + 4u);
{% endif %}
      for (var t = token; t < end; t++) {
        let out = ((first + t) * {{ H }}u + head) * {{ CHUNKS * 4 }}u + column;
{% for w in range(OWN) %}
{% if WIDTH == 2 %}
        y[out + {{ w * COLUMNS }}u] = vec2<f32>(sum{{ r }}_{{ w }}_0[t - token], sum{{ r }}_{{ w }}_1[t - token]) * inverse[t - token];
{% else %}
        y[out + {{ w * COLUMNS }}u] = sum{{ r }}_{{ w }}_0[t - token] * inverse[t - token];
{% endif %}
{% endfor %}
      }
    }
{% endfor %}
  }
}
