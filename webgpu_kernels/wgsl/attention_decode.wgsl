{% if split %}
// attention_partial: what one piece of a sequence's context adds to its attention: for each query head, into scratch0,
// Σ exp(score - highest)·V, then (highest, Σ exp(score - highest)).
{% else %}
// attention_decode: y[s, h] = softmax(q[s, h] · Kᵀ · scale) · V of the newest token of sequence s over its pages.
{% endif %}
{% set QUADS = D // 4 %}
// Grid: x = {{ HEADS }} query head(s) of a KV head, which read its keys and values once; y = {{ "work: pieces one after another" if split else "sequence" }}.
// q, k and v come from qkv[s]: {{ "RMS-normalised, " if qk_norm }}rotated here; {{ "the piece with the newest position" if split else "this" }} appends k and v to their page.
// Positions go by in tiles of {{ TILE }} with a running maximum and sum (online softmax) that begin with the newest token.
// Scores: an invocation owns whole positions; softmax: {{ TEAM }} share a head; values: an invocation owns one of
// {{ QUADS }} quads of columns in every {{ SLICES }}th four positions of the tile.
{# Loops whose turns a compiler would know have a bound that it does not: unrolled, their loads take all registers of GPUs that have few. #}
{% from "turn.wgsl" import turn_functions %}
{% from "attention.wgsl" import page_row, keys, value_quads, capped, quad, one_quad, stored, chunk, stored_quad, int8_words with context %}
{% include "bindings.wgsl" %}

{% set HALF = D // 8 %}
// The query heads, scaled, and after them the new key.
var<workgroup> heads: array<vec4<f32>, {{ (HEADS + 1) * QUADS }}>;
var<workgroup> value: array<vec4<f32>, {{ QUADS }}>;
var<workgroup> places: array<u32, {{ TILE }}>;
var<workgroup> scores: array<f32, {{ HEADS * TILE }}>;
{% if int8 %}
var<workgroup> value_scales: array<f32, {{ TILE }}>;
{% endif %}
var<workgroup> partial: array<f32, {{ THREADS }}>;
var<workgroup> decays: array<f32, {{ THREADS // TEAM }}>;
var<workgroup> outputs: array<vec4<f32>, {{ THREADS }}>;
{% if qk_norm %}
var<workgroup> squares: array<f32, {{ (HEADS + 1) * 16 }}>;
{% endif %}

{{ turn_functions("vec4<f32>", QUARTER_TURN) }}
{{ page_row() }}
{% if int8 %}
{{ int8_words() }}
{% endif %}
{{ capped("f32") }}

// First quad of head r of this workgroup in qkv: a query head, or (after them) the KV head's key. Heads past the group repeat its last.
fn source(row: u32, kv_head: u32, first: u32, r: u32) -> u32 {
  let head = select(min(first + r, (kv_head + 1u) * {{ GROUP }}u - 1u), {{ H }}u + kv_head, r == {{ HEADS }}u);
  return (row * {{ H + 2 * KV }}u + head) * {{ QUADS }}u;
}

{% if split %}
// Piece: row, first and end position, and the part that it leaves.
fn attend(x: u32, tid: u32, piece: vec4<u32>) {
  let row = piece.x;
{% else %}
fn attend(x: u32, tid: u32, row: u32) {
{% endif %}
  let kv_head = x / {{ PARTS }}u;
  let first_head = kv_head * {{ GROUP }}u + x % {{ PARTS }}u * {{ HEADS }}u;
  let position = min(u32(max(positions[row], 0)), params.max_pages * {{ PAGE }}u - 1u);
{% if split %}
  var begin = piece.y;
  let end = min(piece.z, position);
  let newest = piece.z > position;
{% else %}
  var begin = 0u;
  let end = position;
{% endif %}
{% if window %}
  begin = max(begin, max(position + 1u, {{ WINDOW }}u) - {{ WINDOW }}u);
{% endif %}

{% if qk_norm %}
  for (var i = tid; i < {{ (HEADS + 1) * 16 }}u; i += {{ THREADS }}u) {
    let begin_at = source(row, kv_head, first_head, i / 16u);
    var square = 0.0f;
    for (var c = i % 16u; c < {{ QUADS }}u; c += 16u) {
      square += dot(qkv[begin_at + c], qkv[begin_at + c]);
    }
    squares[i] = square;
  }
  workgroupBarrier();
{% endif %}
  for (var i = tid; i < {{ (HEADS + 1) * HALF }}u; i += {{ THREADS }}u) {
    let r = i / {{ HALF }}u;
    let c = i % {{ HALF }}u;
    let begin_at = source(row, kv_head, first_head, r) + c;
    var low = qkv[begin_at];
    var high = qkv[begin_at + {{ HALF }}u];
{% if qk_norm %}
    var square = 0.0f;
    for (var j = 0u; j < 16u; j++) {
      square += squares[r * 16u + j];
    }
    let rstd = inverseSqrt(square / {{ D | float | f32 }} + {{ eps | f32 }});
    if (r == {{ HEADS }}u) {
      low *= rstd * k_gamma[c];
      high *= rstd * k_gamma[c + {{ HALF }}u];
    } else {
      low *= rstd * q_gamma[c];
      high *= rstd * q_gamma[c + {{ HALF }}u];
    }
{% endif %}
    let turn = turn_by(f32(position) * inv_freq[c]);
    let turned_low = low * turn.cos - high * turn.sin;
    let turned_high = high * turn.cos + low * turn.sin;
    let at = r * {{ QUADS }}u + c;
    if (r == {{ HEADS }}u) {
      heads[at] = {{ stored("turned_low") }};
      heads[at + {{ HALF }}u] = {{ stored("turned_high") }};
    } else {
      heads[at] = turned_low * {{ SCALE | f32 }};
      heads[at + {{ HALF }}u] = turned_high * {{ SCALE | f32 }};
    }
  }
  for (var c = tid; c < {{ QUADS }}u; c += {{ THREADS }}u) {
    let v = qkv[(row * {{ H + 2 * KV }}u + {{ H + KV }}u + kv_head) * {{ QUADS }}u + c];
    value[c] = {{ stored("v") }};
  }
  workgroupBarrier();

  let member = tid % {{ TEAM }}u;
  let team = tid - member;
  let head = min(tid / {{ TEAM }}u, {{ HEADS - 1 }}u);
  let column = tid % {{ QUADS }}u;
  let slice = tid / {{ QUADS }}u;
  var highest = -3.0e38f;
  // Every invocation keeps its own part of its head's sum of weights; the parts meet after the last tile.
  var total = 0.0f;
{% for r in range(HEADS) %}
  var sum{{ r }} = vec4<f32>();
{% endfor %}
{% if split %}
  if (newest) {
{% else %}
  {
{% endif %}
{% if int8 %}
    // Its key and value are used as they are kept.
    var most = vec2<f32>();
    for (var c = 0u; c < params.chunks * {{ QPC }}u; c++) {
      most = max(most, vec2<f32>(largest(heads[{{ HEADS * QUADS }}u + c]), largest(value[c])));
    }
    let scales = most / 127.0f;
    let inverse = 127.0f / max(most, vec2<f32>(1.0e-30f));
{% endif %}
    var score = 0.0f;
    for (var c = 0u; c < params.chunks * {{ QPC }}u; c++) {
{% if int8 %}
      score += dot(heads[head * {{ QUADS }}u + c], steps(int8_word(heads[{{ HEADS * QUADS }}u + c], inverse.x)));
{% else %}
      score += dot(heads[head * {{ QUADS }}u + c], heads[{{ HEADS * QUADS }}u + c]);
{% endif %}
    }
    highest = capped(score{{ " * scales.x" if int8 }});
    total = select(0.0f, 1.0f, member == 0u);
    if (slice == 0u) {
{% if int8 %}
      sum0 = steps(int8_word(value[column], inverse.y)) * scales.y;
{% else %}
      sum0 = value[column];
{% endif %}
{% for r in range(1, HEADS) %}
      sum{{ r }} = sum0;
{% endfor %}
    }
{% if PARTS > 1 %}
    if (x % {{ PARTS }}u == 0u) {
{% else %}
    {
{% endif %}
      let place = page_row(row, kv_head, position);
      for (var c = tid; c < {{ CHUNKS }}u; c += {{ THREADS }}u) {
        kv_k[{{ keys("place") }} + c] = {{ chunk("heads", (HEADS * QUADS) ~ "u + c * " ~ QPC ~ "u", "inverse.x") }};
{% for n in range(QPC) %}
        kv_v[{{ value_quads("place") }} + c * {{ QPC }}u + {{ n }}u] = {{ stored_quad("value[c * %du + %du]" % (QPC, n), "inverse.y") }};
{% endfor %}
      }
{% if int8 %}
      if (tid == 0u) {
        kv_k[{{ keys("place") }} + {{ CHUNKS }}u] = bitcast<vec2<u32>>(scales);
      }
{% endif %}
    }
  }

  for (; begin < end; begin += {{ TILE }}u) {
    let count = min(end - begin, {{ TILE }}u);
    // In fours: the last ones take the last position again, with no weight.
    let padded = (count + 3u) / 4u * 4u;
    for (var i = tid; i < padded; i += {{ THREADS }}u) {
      let place = page_row(row, kv_head, min(begin + i, end - 1u));
{% for r in range(HEADS) %}
      var score{{ r }} = 0.0f;
{% endfor %}
{# Several loads are under way at once: compilers do not unroll these loops. #}
{% set U = 4 if CHUNKS % 4 == 0 and HEADS <= 4 else 2 if CHUNKS % 2 == 0 else 1 %}
      for (var c = 0u; c < params.chunks; c += {{ U }}u) {
{% for u in range(U) %}
        let chunk{{ u }} = kv_k[{{ keys("place") }} + c + {{ u }}u];
{% endfor %}
{% for u in range(U) %}
{% for n in range(QPC) %}
        let k{{ u }}_{{ n }} = {{ quad("chunk%d" % u, n) }};
{% for r in range(HEADS) %}
        score{{ r }} += dot(heads[{{ r * QUADS + n + u * QPC }}u + c * {{ QPC }}u], k{{ u }}_{{ n }});
{% endfor %}
{% endfor %}
{% endfor %}
      }
      places[i] = place;
{% if int8 %}
      let scales = scales_of(place);
      value_scales[i] = scales.y;
{% endif %}
{% for r in range(HEADS) %}
      scores[{{ r * TILE }}u + i] = capped(score{{ r }}{{ " * scales.x" if int8 }});
{% endfor %}
    }
    workgroupBarrier();

    var tile_highest = highest;
    for (var i = member; i < count; i += {{ TEAM }}u) {
      tile_highest = max(tile_highest, scores[head * {{ TILE }}u + i]);
    }
    partial[tid] = tile_highest;
    workgroupBarrier();
    for (var i = team; i < team + {{ TEAM }}u; i++) {
      tile_highest = max(tile_highest, partial[i]);
    }
    let decay = exp(highest - tile_highest);
    highest = tile_highest;
    total *= decay;
    if (tid < {{ HEADS * TEAM }}u) {
      for (var i = member; i < padded; i += {{ TEAM }}u) {
        let weight = select(0.0f, exp(scores[head * {{ TILE }}u + i] - highest), i < count);
        scores[head * {{ TILE }}u + i] = weight{{ " * value_scales[i]" if int8 }};
        total += weight;
      }
      if (member == 0u) {
        decays[head] = decay;
      }
    }
    workgroupBarrier();

{% if SLICES * QUADS < THREADS %}
    if (slice < {{ SLICES }}u) {
{% else %}
    {
{% endif %}
{% for r in range(HEADS) %}
      sum{{ r }} *= decays[{{ r }}];
{% endfor %}
      for (var i = slice * 4u; i < padded; i += {{ 4 * SLICES }}u) {
{% for u in range(4) %}
        let quad{{ u }} = kv_v[{{ value_quads("places[i + %du]" % u) }} + column];
{% endfor %}
{% for u in range(4) %}
        let v{{ u }} = {{ one_quad("quad%d" % u) }};
{% endfor %}
{% for r in range(HEADS) %}
        sum{{ r }} += {% for u in range(4) %}scores[{{ r * TILE + u }}u + i] * v{{ u }}{{ " + " if not loop.last }}{% endfor %};
{% endfor %}
      }
    }
    workgroupBarrier();
  }

  // Of each head the sum of weights and the maximum, for who writes.
  partial[tid] = total;
  workgroupBarrier();
  total = 0.0f;
  for (var i = team; i < team + {{ TEAM }}u; i++) {
    total += partial[i];
  }
  if (tid < {{ HEADS * TEAM }}u && member == 0u) {
    scores[head] = total;
    scores[{{ HEADS }}u + head] = highest;
  }
{% for r in range(HEADS) %}
  outputs[tid] = sum{{ r }};
  workgroupBarrier();
{% set inside = "" if PARTS * HEADS == GROUP else " && first_head + %du < (kv_head + 1u) * %du" % (r, GROUP) %}
  if (tid < {{ QUADS }}u{{ inside }}) {
    for (var i = tid + {{ QUADS }}u; i < {{ SLICES * QUADS }}u; i += {{ QUADS }}u) {
      sum{{ r }} += outputs[i];
    }
{% if split %}
    let out = (piece.w * {{ H }}u + first_head + {{ r }}u) * {{ QUADS + 1 }}u;
    scratch0[out + tid] = sum{{ r }};
    if (tid == 0u) {
      scratch0[out + {{ QUADS }}u] = vec4<f32>(scores[{{ HEADS + r }}], scores[{{ r }}], 0.0f, 0.0f);
    }
{% else %}
{% if sinks %}
    let sink = sinks[first_head + {{ r }}u];
    let most = max(scores[{{ HEADS + r }}], sink);
    let share = exp(scores[{{ HEADS + r }}] - most);
    let inverse = share / (scores[{{ r }}] * share + exp(sink - most));
{% else %}
    let inverse = 1.0f / scores[{{ r }}];
{% endif %}
    y[(row * {{ H }}u + first_head + {{ r }}u) * {{ QUADS }}u + tid] = sum{{ r }} * inverse;
{% endif %}
  }
{% if not loop.last %}
  workgroupBarrier();
{% endif %}
{% endfor %}
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
{% if split %}
  let list = vec2<u32>(work[group.y].xy);
  for (var item = list.x; item < list.y; item++) {
    attend(group.x, tid, vec4<u32>(work[item]));
  }
{% else %}
  attend(group.x, tid, group.y);
{% endif %}
}
