// rope_append: splits qkv[t] into heads, rotates q and k to their position and appends k and v to the KV page.
// Grid: x = head (H of q, then KV of k, then KV of v), y = token t. Invocation i owns the pair (i, i + D/2) of one head
// (the "rotate half" pairing) and writes it to q[t] or to slot position % {{ PAGE }} of its page.
{% if qk_norm %}
// q and k heads are first RMS-normalised and scaled by q_gamma, k_gamma.
{% endif %}
{% if int8 %}
// Of k and v an invocation writes a word: four columns in steps of the row's scale.
{% endif %}
{% from "turn.wgsl" import turn_functions %}
{% from "attention.wgsl" import int8_words with context %}
{% include "bindings.wgsl" %}

const HALF = {{ D // 2 }}u;
{% if qk_norm %}
var<workgroup> squares: array<f32, {{ THREADS }}>;
{% endif %}

{% if int8 %}
var<workgroup> row: array<f32, {{ D }}>;

{{ int8_words() }}
fn quad(c: u32) -> vec4<f32> {
  return vec4<f32>(row[4u * c], row[4u * c + 1u], row[4u * c + 2u], row[4u * c + 3u]);
}

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
{% if not int8 %}
  if (i >= HALF) {
    return;
  }
{% endif %}
  let position = u32(max(positions[t], 0));
  if (head < {{ H + KV }}u{{ " && i < HALF" if int8 }}) {
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
{% if int8 %}
    if (i < HALF) {
      q[out] = low;
      q[out + HALF] = high;
    }
{% else %}
    q[out] = low;
    q[out + HALF] = high;
{% endif %}
    return;
  }
  let page = u32(page_table[u32(token_seq[t]) * params.max_pages + position / {{ PAGE }}u]);
  let kv_head = (head - {{ H }}u) % {{ KV }}u;
{% if int8 %}
  let place = (page * {{ KV }}u + kv_head) * {{ PAGE }}u + position % {{ PAGE }}u;
  if (i < HALF) {
    row[i] = low;
    row[i + HALF] = high;
  }
  workgroupBarrier();
  var most = 0.0f;
  for (var c = 0u; c < {{ D // 4 }}u; c++) {
    most = max(most, largest(quad(c)));
  }
  if (i < {{ D // 4 }}u) {
    let word = int8_word(quad(i), 127.0f / max(most, 1.0e-30f));
    if (head < {{ H + KV }}u) {
      kv_k[place * {{ D // 4 + 2 }}u + i] = word;
    } else {
      kv_v[place * {{ D // 4 }}u + i] = word;
    }
  }
  // Both scales are beside the key.
  if (i == 0u) {
    kv_k[place * {{ D // 4 + 2 }}u + {{ D // 4 }}u + (head - {{ H }}u) / {{ KV }}u] = bitcast<u32>(most / 127.0f);
  }
}
{% else %}
  let out = ((page * {{ KV }}u + kv_head) * {{ PAGE }}u + position % {{ PAGE }}u) * {{ D }}u + i;
  if (head < {{ H + KV }}u) {
    kv_k[out] = {{ kv }}(low);
    kv_k[out + HALF] = {{ kv }}(high);
  } else {
    kv_v[out] = {{ kv }}(low);
    kv_v[out + HALF] = {{ kv }}(high);
  }
}
{% endif %}
