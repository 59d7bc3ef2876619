// attention_decode: y[t, h] = softmax(q[t, h] · Kᵀ · scale) · V over positions 0 ..= positions[t] of the token's pages.
// Grid: x = query head h, y = token t. Positions go by in tiles of {{ TILE }} with a running maximum and sum (online
// softmax): each invocation scores whole positions, then owns one of {{ COLUMNS }} column quads in one of {{ SLICES }}
// slices of the tile; the slices are added at the end and the first one writes y.
{% from "reduce.wgsl" import reductions %}
{% include "bindings.wgsl" %}

var<workgroup> query: array<vec4<f32>, {{ COLUMNS }}>;
var<workgroup> scores: array<f32, {{ TILE }}>;
var<workgroup> outputs: array<vec4<f32>, {{ THREADS }}>;
{{ reductions("f32", THREADS, [("highest_of", "max(a, b)"), ("sum_of", "a + b")]) }}
fn page_row(seq: u32, kv_head: u32, position: u32) -> u32 {
  let page = u32(page_table[seq * params.max_pages + position / {{ PAGE }}u]);
  return ((page * {{ KV }}u + kv_head) * {{ PAGE }}u + position % {{ PAGE }}u) * {{ COLUMNS }}u;
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let head = group.x;
  let t = group.y;
  let kv_head = head / {{ H // KV }}u;
  let seq = u32(token_seq[t]);
  let context = min(u32(max(positions[t], 0)) + 1u, params.max_pages * {{ PAGE }}u);
  let row = (t * {{ H }}u + head) * {{ COLUMNS }}u;
  if (tid < {{ COLUMNS }}u) {
    query[tid] = q[row + tid] * {{ SCALE | f32 }};
  }
  workgroupBarrier();

  let column = tid % {{ COLUMNS }}u;
  let slice = tid / {{ COLUMNS }}u;
  var highest = -3.0e38f;
  var total = 0.0f;
  var sum = vec4<f32>();
  for (var begin = 0u; begin < context; begin += {{ TILE }}u) {
    let count = min(context - begin, {{ TILE }}u);
    var tile_highest = highest;
    for (var i = tid; i < count; i += {{ THREADS }}u) {
      let k = page_row(seq, kv_head, begin + i);
      var score = 0.0f;
      for (var c = 0u; c < params.columns; c++) {
        score += dot(query[c], vec4<f32>(kv_k[k + c]));
      }
      scores[i] = score;
      tile_highest = max(tile_highest, score);
    }
    let next_highest = highest_of(tid, tile_highest);
    let decay = exp(highest - next_highest);
    highest = next_highest;
    // Every invocation keeps its own part of the sum of weights; the parts meet after the last tile.
    total *= decay;
    for (var i = tid; i < count; i += {{ THREADS }}u) {
      let weight = exp(scores[i] - highest);
      scores[i] = weight;
      total += weight;
    }
    workgroupBarrier();
    sum *= decay;
    if (slice < {{ SLICES }}u) {
      for (var i = slice; i < count; i += {{ SLICES }}u) {
        sum += scores[i] * vec4<f32>(kv_v[page_row(seq, kv_head, begin + i) + column]);
      }
    }
    workgroupBarrier();
  }

  outputs[tid] = sum;
  let weights = sum_of(tid, total);
  if (slice == 0u) {
    for (var i = 1u; i < {{ SLICES }}u; i++) {
      sum += outputs[tid + i * {{ COLUMNS }}u];
    }
    y[row + column] = sum / weights;
  }
}
