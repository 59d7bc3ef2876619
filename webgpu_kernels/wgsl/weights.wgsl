{# Reads weight matrices, stored row by row. In groups of 32 with a scale each: `steps` of a word (after each of SHIFTS, as a
   word may hold several vectors) times `scale`. Else `element`: four at a time when rows are a multiple of four long. One set
   of functions for each prefix in `matrices`. #}
{% if grouped %}
// Four weights, in steps of their scale: those in the lowest {{ 4 * BITS }} bits of a word.
fn steps(word: u32) -> vec4<f32> {
  let bits = (vec4<u32>(word) >> vec4<u32>(0u, {{ BITS }}u, {{ 2 * BITS }}u, {{ 3 * BITS }}u)) & vec4<u32>({{ 2 ** BITS - 1 }}u);
  return vec4<f32>(bits) - {{ OFFSET | float | f32 }};
}

{% endif %}
{% if words and ((grouped and SCALES == 1) or (dense_f16 and not wide)) %}
// Element `index` of an array of f16, out of the word that holds it.
fn half(word: u32, index: u32) -> f32 {
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, (index & 1u) == 1u);
}

{% endif %}
{% for p in matrices %}
{% if grouped and SCALES > 1 %}
// Of two groups, the first at `index`, an even number.
fn {{ p }}scales(index: u32) -> vec2<f32> {
  return unpack2x16float({{ p }}q_scale[index / 2u]);
}

{% elif grouped %}
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
