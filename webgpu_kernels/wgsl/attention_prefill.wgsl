// attention_prefill: y[t, h] = softmax(q[t, h] · Kᵀ · scale) · V for tiles of up to {{ ROWS }} consecutive tokens of one
// sequence; each token sees the positions up to its own. Grid: x = query head h, y = tile.
// Keys go by in tiles of {{ KEYS }} with a running maximum and sum per row (online softmax). Scores: an invocation owns one key
// for {{ ROWS * KEYS // THREADS }} rows; softmax: {{ THREADS // ROWS }} invocations share a row; values: an invocation owns a column quad for
// {{ ROWS // ROW_GROUPS }} row(s), which it writes.
{% set SCORE_ROWS = ROWS * KEYS // THREADS %}
{% set TEAM = THREADS // ROWS %}
{% set OWN = ROWS // ROW_GROUPS %}
{% include "bindings.wgsl" %}

{% if STAGES > 1 %}
// A part of the head at a time, to stay within 16 KiB.
{% endif %}
var<workgroup> queries: array<vec4<f32>, {{ ROWS * STAGED }}>;
var<workgroup> scores: array<f32, {{ ROWS * KEYS }}>;
var<workgroup> partial: array<f32, {{ THREADS }}>;
var<workgroup> totals: array<f32, {{ THREADS }}>;
var<workgroup> decays: array<f32, {{ ROWS }}>;

fn page_row(seq: u32, kv_head: u32, position: u32) -> u32 {
  let page = u32(page_table[seq * params.max_pages + position / {{ PAGE }}u]);
  return ((page * {{ KV }}u + kv_head) * {{ PAGE }}u + position % {{ PAGE }}u) * {{ COLUMNS }}u;
}

// Stages column quads `begin` .. `begin + {{ STAGED }}` of the tile's queries, scaled; rows past the tile are zero.
fn stage_queries(tid: u32, first: u32, rows: u32, head: u32, begin: u32) {
  for (var i = tid; i < {{ ROWS * STAGED }}u; i += {{ THREADS }}u) {
    let r = i / {{ STAGED }}u;
    let c = begin + i % {{ STAGED }}u;
    var v = vec4<f32>();
    if (r < rows && c < {{ COLUMNS }}u) {
      v = q[((first + r) * {{ H }}u + head) * {{ COLUMNS }}u + c] * {{ SCALE | f32 }};
    }
    queries[i] = v;
  }
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let head = group.x;
  let kv_head = head / {{ H // KV }}u;
  let first = u32(tile_start[group.y]);
  let rows = min(u32(max(tile_len[group.y], 0)), {{ ROWS }}u);
  let seq = u32(token_seq[first]);
  let position = u32(max(positions[first], 0));
  let context = min(position + rows, params.max_pages * {{ PAGE }}u);
  let key = tid % {{ KEYS }}u;
  let score_row = (tid / {{ KEYS }}u) * {{ SCORE_ROWS }}u;
  let soft_row = tid / {{ TEAM }}u;
  let column = tid % {{ COLUMNS }}u;
  let own_row = (tid / {{ COLUMNS }}u) * {{ OWN }}u;

  var highest = -3.0e38f;
  var total = 0.0f;
{% for r in range(OWN) %}
  var sum{{ r }} = vec4<f32>();
{% endfor %}
{% if STAGES == 1 %}
  stage_queries(tid, first, rows, head, 0u);
  workgroupBarrier();
{% endif %}

  for (var begin = 0u; begin < context; begin += {{ KEYS }}u) {
    let count = min(context - begin, {{ KEYS }}u);
    let k = page_row(seq, kv_head, begin + min(key, count - 1u));
{% for r in range(SCORE_ROWS) %}
    var score{{ r }} = 0.0f;
{% endfor %}
{% for stage in range(STAGES) %}
{% set width = [STAGED, COLUMNS - stage * STAGED] | min %}
{% if STAGES > 1 %}
    workgroupBarrier();
    stage_queries(tid, first, rows, head, {{ stage * STAGED }}u);
    workgroupBarrier();
{% endif %}
    for (var c = 0u; c < {{ width }}u; c++) {
      let v = vec4<f32>(kv_k[k + {{ stage * STAGED }}u + c]);
{% for r in range(SCORE_ROWS) %}
      score{{ r }} += dot(queries[(score_row + {{ r }}u) * {{ STAGED }}u + c], v);
{% endfor %}
    }
{% endfor %}
{% for r in range(SCORE_ROWS) %}
    scores[(score_row + {{ r }}u) * {{ KEYS }}u + key] = score{{ r }};
{% endfor %}
    workgroupBarrier();

    // Keys of this tile that the row may see: none, some or all.
    let seen = min(max(position + soft_row + 1u, begin) - begin, count);
    var tile_highest = highest;
    for (var i = tid % {{ TEAM }}u; i < seen; i += {{ TEAM }}u) {
      tile_highest = max(tile_highest, scores[soft_row * {{ KEYS }}u + i]);
    }
    partial[tid] = tile_highest;
    workgroupBarrier();
    for (var i = 0u; i < {{ TEAM }}u; i++) {
      tile_highest = max(tile_highest, partial[soft_row * {{ TEAM }}u + i]);
    }
    let decay = exp(highest - tile_highest);
    highest = tile_highest;
    // Every invocation keeps its own part of its row's sum of weights; the parts meet after the last tile.
    total *= decay;
    for (var i = tid % {{ TEAM }}u; i < {{ KEYS }}u; i += {{ TEAM }}u) {
      var weight = 0.0f;
      if (i < seen) {
        weight = exp(scores[soft_row * {{ KEYS }}u + i] - highest);
      }
      scores[soft_row * {{ KEYS }}u + i] = weight;
      total += weight;
    }
    if (tid % {{ TEAM }}u == 0u) {
      decays[soft_row] = decay;
    }
    workgroupBarrier();

    if (tid < {{ COLUMNS * ROW_GROUPS }}u) {
{% for r in range(OWN) %}
      sum{{ r }} *= decays[own_row + {{ r }}u];
{% endfor %}
      for (var i = 0u; i < count; i++) {
        let v = vec4<f32>(kv_v[page_row(seq, kv_head, begin + i) + column]);
{% for r in range(OWN) %}
        sum{{ r }} += scores[(own_row + {{ r }}u) * {{ KEYS }}u + i] * v;
{% endfor %}
      }
    }
    workgroupBarrier();
  }

  totals[tid] = total;
  workgroupBarrier();
  if (tid < {{ COLUMNS * ROW_GROUPS }}u) {
{% for r in range(OWN) %}
    if (own_row + {{ r }}u < rows) {
      var weights = 0.0f;
      for (var i = 0u; i < {{ TEAM }}u; i++) {
        weights += totals[(own_row + {{ r }}u) * {{ TEAM }}u + i];
      }
      y[((first + own_row + {{ r }}u) * {{ H }}u + head) * {{ COLUMNS }}u + column] = sum{{ r }} / weights;
    }
{% endfor %}
  }
}
