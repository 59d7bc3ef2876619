// embed: x[t, :] = table[id, :], dequantised to f32, of id = token_ids[t]; if that is negative, of the token that slot
// -1 - token_ids[t] drew last. Ids outside the vocabulary are clamped.
// Grid: x = blocks of {{ THREADS }} chunks of a row, y = token t. Each invocation writes one chunk.
{% if split %}
// The launch covers table rows row_begin .. row_begin + row_count and leaves the other tokens' rows alone.
{% endif %}
{% include "bindings.wgsl" %}

{% include "weights.wgsl" %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let chunk = id.x;
  if (chunk >= {{ CHUNKS }}u) {
    return;
  }
  var given = token_ids[id.y];
  if (given < 0) {
    given = last_tokens[-1 - given];
  }
  let token = u32(clamp(given, 0, {{ VOCAB - 1 }}));
{% if split %}
  // Ids below row_begin wrap around to huge values.
  let row = token - params.row_begin;
  if (row >= params.row_count) {
    return;
  }
{% else %}
  let row = token;
{% endif %}
{% if grouped %}
  let word = q_weight[row * {{ CHUNKS }}u + chunk];
  let s = scale(row * {{ D // 32 }}u + chunk / {{ GROUP_WORDS }}u);
  let out = (id.y * {{ CHUNKS }}u + chunk) * {{ SHIFTS | length }}u;
{% for shift in SHIFTS %}
  x[out + {{ loop.index0 }}u] = steps(word{{ shift }}) * s;
{% endfor %}
{% else %}
  x[id.y * {{ CHUNKS }}u + chunk] = element(row * {{ CHUNKS }}u + chunk);
{% endif %}
}
