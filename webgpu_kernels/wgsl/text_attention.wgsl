// text_attention: y[t, h] = softmax(q[t, h] · Kᵀ · scale) · V over all tokens of the text that token t is of.
// Grid: x = head, y = blocks of {{ THREADS }} tokens, one an invocation. All of a workgroup read the same keys and values at the same
// time, which costs a GPU one transaction and a software adapter one load: those of every text that the block has tokens of.
// {{ KEYS }} keys at a time, so that an invocation reads its query and sums once for all of them, with a running maximum. Loops over a head's
// columns are not unrolled, for the sake of adapters that compile slowly.
{% include "bindings.wgsl" %}

{% set STRIDE = 3 * H * QUADS %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let first = group.y * {{ THREADS }}u;
  let last = min(first + {{ THREADS }}u, params.tokens) - 1u;
  let begin = u32(texts[token_seq[first]].x);
  let end = u32(texts[token_seq[last]].y);
  let row = min(first + tid, last);
  let text = vec2<u32>(texts[token_seq[row]].xy);
  var query: array<vec4<f32>, {{ QUADS }}>;
  var sums: array<vec4<f32>, {{ QUADS }}>;
  for (var c = 0u; c < params.quads; c++) {
    query[c] = qkv[row * {{ STRIDE }}u + group.x * {{ QUADS }}u + c] * {{ SCALE | f32 }};
    sums[c] = vec4<f32>();
  }
  var highest = -3.0e38f;
  var total = 0.0f;

  for (var key = begin; key < end; key += {{ KEYS }}u) {
{% for i in range(KEYS) %}
    let at{{ i }} = min(key + {{ i }}u, end - 1u) * {{ STRIDE }}u + {{ H * QUADS }}u + group.x * {{ QUADS }}u;
    var score{{ i }} = 0.0f;
{% endfor %}
    for (var c = 0u; c < params.quads; c++) {
      let q = query[c];
{% for i in range(KEYS) %}
      score{{ i }} += dot(q, qkv[at{{ i }} + c]);
{% endfor %}
    }
    // A key of another text, or none, has no score, and weighs nothing.
    var most = highest;
{% for i in range(KEYS) %}
    let seen{{ i }} = key + {{ i }}u >= text.x && key + {{ i }}u < text.y;
    most = select(most, max(most, score{{ i }}), seen{{ i }});
{% endfor %}
    let decay = exp(highest - most);
    highest = most;
    total *= decay;
{% for i in range(KEYS) %}
    let weight{{ i }} = select(0.0f, exp(score{{ i }} - most), seen{{ i }});
    total += weight{{ i }};
{% endfor %}
    for (var c = 0u; c < params.quads; c++) {
      var sum = sums[c] * decay;
{% for i in range(KEYS) %}
      sum += weight{{ i }} * qkv[at{{ i }} + {{ H * QUADS }}u + c];
{% endfor %}
      sums[c] = sum;
    }
  }

  if (first + tid <= last) {
    for (var c = 0u; c < params.quads; c++) {
      y[row * {{ H * QUADS }}u + group.x * {{ QUADS }}u + c] = sums[c] / total;
    }
  }
}
