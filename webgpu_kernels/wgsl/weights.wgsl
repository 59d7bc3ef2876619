{# Reads weight matrices, stored row by row: `scale` and the nibbles of a word for q4, `element` (four at a time when rows
   are a multiple of four long) for f16 and f32. One set of functions for each prefix in `matrices`. #}
{% if q4 %}
// Four weights of a word, low nibble first, offset by 7.
fn low_nibbles(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
}

fn high_nibbles(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(word) >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u));
}

{% endif %}
{% if words and (q4 or (dense_f16 and not wide)) %}
// Element `index` of an array of f16, out of the word that holds it.
fn half(word: u32, index: u32) -> f32 {
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, (index & 1u) == 1u);
}

{% endif %}
{% for p in matrices %}
{% if q4 %}
fn {{ p }}scale(index: u32) -> f32 {
  return {{ ("half(" ~ p ~ "q_scale[index >> 1u], index)") if words else ("f32(" ~ p ~ "q_scale[index])") }};
}

{% else %}
fn {{ p }}element(index: u32) -> {{ value }} {
{% if dense_f16 and words and wide %}
  let pairs = {{ p }}weight[index];
  return vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
{% elif dense_f16 and words %}
  return half({{ p }}weight[index >> 1u], index);
{% else %}
  return {{ value }}({{ p }}weight[index]);
{% endif %}
}

{% endif %}
{% endfor %}
