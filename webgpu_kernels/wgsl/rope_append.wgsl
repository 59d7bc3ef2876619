// rope_append: splits qkv[t] into heads, rotates q and k to their position and appends k and v to the KV page.
// Grid: x = head (H of q, then KV of k, then KV of v), y = token t. Invocation i owns the pair (i, i + D/2) of one head
// (the "rotate half" pairing) and writes it to q[t] or to slot position % {{ PAGE }} of its page.
{% if qk_norm %}
// q and k heads are first RMS-normalised and scaled by q_gamma, k_gamma.
{% endif %}
{% from "turn.wgsl" import turn_functions %}
{% include "bindings.wgsl" %}

const HALF = {{ D // 2 }}u;
{% if qk_norm %}
var<workgroup> squares: array<f32, {{ THREADS }}>;
{% endif %}

{{ turn_functions("f32", QUARTER_TURN) }}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
  let head = group.x;
  let t = group.y;
  let source = (t * {{ H + 2 * KV }}u + head) * {{ D }}u + i;
  var low = 0.0f;
  var high = 0.0f;
  if (i < HALF) {
    low = qkv[source];
    high = qkv[source + HALF];
  }
{% if qk_norm %}
  squares[i] = low * low + high * high;
  for (var stride = {{ THREADS // 2 }}u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (i < stride) {
      squares[i] += squares[i + stride];
    }
  }
  workgroupBarrier();
{% endif %}
  if (i >= HALF) {
    return;
  }
  let position = u32(max(positions[t], 0));
  if (head < {{ H + KV }}u) {
{% if qk_norm %}
    let rstd = inverseSqrt(squares[0] / {{ D | float | f32 }} + {{ eps | f32 }});
    if (head < {{ H }}u) {
      low *= rstd * q_gamma[i];
      high *= rstd * q_gamma[i + HALF];
    } else {
      low *= rstd * k_gamma[i];
      high *= rstd * k_gamma[i + HALF];
    }
{% endif %}
    let turn = turn_by(f32(position) * inv_freq[i]);
    let rotated = low * turn.cos - high * turn.sin;
    high = high * turn.cos + low * turn.sin;
    low = rotated;
  }
  if (head < {{ H }}u) {
    let out = (t * {{ H }}u + head) * {{ D }}u + i;
    q[out] = low;
    q[out + HALF] = high;
    return;
  }
  let page = u32(page_table[u32(token_seq[t]) * params.max_pages + position / {{ PAGE }}u]);
  let kv_head = (head - {{ H }}u) % {{ KV }}u;
  let out = ((page * {{ KV }}u + kv_head) * {{ PAGE }}u + position % {{ PAGE }}u) * {{ D }}u + i;
  if (head < {{ H + KV }}u) {
    kv_k[out] = {{ kv }}(low);
    kv_k[out + HALF] = {{ kv }}(high);
  } else {
    kv_v[out] = {{ kv }}(low);
    kv_v[out + HALF] = {{ kv }}(high);
  }
}
