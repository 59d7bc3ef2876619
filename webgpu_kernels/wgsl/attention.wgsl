{# What the attention kernels share: where a position lies in the pages, and what becomes of a score. #}
{% macro page_row() %}
{% if int8 %}
// Which row of the pages is a position's, of a KV head. Keys have {{ CHUNKS + 1 }} elements a row: the last is the scales of the row's key and
// value. Values have {{ CHUNKS }}.
{% else %}
// First element of a position's row in the pages of a KV head.
{% endif %}
fn page_row(seq: u32, kv_head: u32, position: u32) -> u32 {
  let page = u32(page_table[seq * params.max_pages + position / {{ PAGE }}u]);
  return ((page * {{ KV }}u + kv_head) * {{ PAGE }}u + position % {{ PAGE }}u){{ " * %du" % CHUNKS if not int8 }};
}
{% if int8 %}

// What a row's steps of key (x) and value (y) are multiplied with.
fn scales_of(row: u32) -> vec2<f32> {
  return bitcast<vec2<f32>>(kv_k[row * {{ CHUNKS + 1 }}u + {{ CHUNKS }}u]);
}

{{ int8_steps() }}
{% endif %}
{% endmacro %}
{# Of what page_row gives, the first element of the keys and of the values. #}
{% macro keys(row) %}
{{ row }}{{ " * %du" % (CHUNKS + 1) if int8 }}
{%- endmacro %}
{% macro values(row) %}
{{ row }}{{ " * %du" % CHUNKS if int8 }}
{%- endmacro %}
{# The same where values are read by quads. #}
{% macro value_quads(row) %}
{{ row }}{{ " * %du" % (CHUNKS * QPC if int8 else QPC) if int8 or QPC > 1 }}
{%- endmacro %}
{% macro int8_steps() %}
// The four steps in a word, the first in its lowest byte.
fn steps(word: u32) -> vec4<f32> {
  return vec4<f32>(vec4<i32>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}
{% endmacro %}
{# A row is kept as the nearest of 255 steps between -1 and 1 times its largest absolute value: `most`, of a key and of a value. #}
{% macro int8_words() %}
// Four values in steps that are 1 / `inverse` long.
fn int8_word(value: vec4<f32>, inverse: f32) -> u32 {
  let bytes = vec4<u32>(vec4<i32>(round(value * inverse))) & vec4<u32>(255u);
  return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

fn largest(value: vec4<f32>) -> f32 {
  let sizes = abs(value);
  return max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
}
{% endmacro %}
{% macro capped(type) %}
{% if softcap %}
// Scores after the soft cap: cap · tanh(score / cap), with a tanh that is precise and never overflows.
fn capped(score: {{ type }}) -> {{ type }} {
  let x = clamp(score / {{ SOFTCAP | f32 }}, {{ type }}(-10.0f), {{ type }}(10.0f));
  return {{ SOFTCAP | f32 }} * (1.0f - 2.0f / (exp(2.0f * x) + 1.0f));
}
{% else %}
fn capped(score: {{ type }}) -> {{ type }} {
  return score;
}
{% endif %}
{% endmacro %}
{# Quads of four values of a chunk: two of f16, which need no shader-f16 to be read, one of f32, or the steps of two of int8. #}
{% macro quad(chunk, number) %}
{%- if int8 -%}
steps({{ chunk }}.{{ "xy"[number] }})
{%- elif kv == "f16" -%}
vec4<f32>(unpack2x16float({{ chunk }}.{{ "xz"[number] }}), unpack2x16float({{ chunk }}.{{ "yw"[number] }}))
{%- else -%}
{{ chunk }}
{%- endif -%}
{% endmacro %}
{# The same of a quad by itself. #}
{% macro one_quad(word) %}
{{- "steps(%s)" % word if int8 else quad(word, 0) }}
{%- endmacro %}
{# As stored: an f32 that has lost what the pages do not keep. #}
{% macro stored(value) %}
{{- "quantizeToF16" if kv == "f16" }}({{ value }})
{%- endmacro %}
{# A chunk of quads that `stored` made: exact, however the adapter rounds. inverse: of the steps of int8. #}
{% macro chunk(array, at, inverse) %}
{%- if int8 -%}
vec2<u32>(int8_word({{ array }}[{{ at }}], {{ inverse }}), int8_word({{ array }}[{{ at }} + 1u], {{ inverse }}))
{%- elif kv == "f16" -%}
vec4<u32>(pack2x16float({{ array }}[{{ at }}].xy), pack2x16float({{ array }}[{{ at }}].zw), pack2x16float({{ array }}[{{ at }} + 1u].xy), pack2x16float({{ array }}[{{ at }} + 1u].zw))
{%- else -%}
{{ array }}[{{ at }}]
{%- endif -%}
{% endmacro %}
{# A quad by itself. #}
{% macro stored_quad(value, inverse) %}
{%- if int8 -%}
int8_word({{ value }}, {{ inverse }})
{%- elif kv == "f16" -%}
vec2<u32>(pack2x16float({{ value }}.xy), pack2x16float({{ value }}.zw))
{%- else -%}
{{ value }}
{%- endif -%}
{% endmacro %}
{# The columns of a word: two of f16, one of f32, or the steps of four of int8. #}
{% macro columns(word) %}
{%- if int8 -%}
steps({{ word }})
{%- elif kv == "f16" -%}
unpack2x16float({{ word }})
{%- else -%}
{{ word }}
{%- endif -%}
{% endmacro %}
{% macro first_seen() %}
{% if window %}

// First position that token `t` sees in its window.
fn first_seen(t: u32) -> u32 {
{% if mask %}
  let position = mask[t * params.mask_words + 2u];
{% else %}
  let position = u32(max(positions[t], 0));
{% endif %}
  return max(position + 1u, {{ WINDOW }}u) - {{ WINDOW }}u;
}
{% endif %}
{% endmacro %}
{# A row of `mask`: begin, end, position, bits. #}
{% macro sees() %}
{{- first_seen() }}
// Whether token `t` sees the key at a position: of those before its `begin` every one{{ " in its window" if window }}, then what its bits say, from its
// `end` on none.
fn sees(t: u32, key: u32) -> bool {
  let row = t * params.mask_words;
  let begin = mask[row];
  if (key < begin) {
    return {{ "key >= first_seen(t)" if window else "true" }};
  }
  let bit = key - begin;
  return key < mask[row + 1u] && ((mask[row + 3u + bit / 32u] >> (bit % 32u)) & 1u) == 1u;
}
{% endmacro %}
{# Needs turn.wgsl's functions. #}
{% macro rotated_query() %}
{{- first_seen() }}
struct Quads {
  low: vec4<f32>,
  high: vec4<f32>,
}

// Quad c of the low half of a query head of qkv[row], and its partner in the high half: {{ "RMS-normalised, " if qk_norm }}rotated and scaled.
fn rotated_query(row: u32, head: u32, c: u32) -> Quads {
  let at = (row * {{ H + 2 * KV }}u + head) * {{ D // 4 }}u;
  var low = qkv[at + c];
  var high = qkv[at + c + {{ D // 8 }}u];
{% if qk_norm %}
  var square = 0.0f;
  for (var i = 0u; i < params.chunks * {{ QPC }}u; i++) {
    square += dot(qkv[at + i], qkv[at + i]);
  }
  let rstd = inverseSqrt(square / {{ D | float | f32 }} + {{ eps | f32 }});
  low *= rstd * q_gamma[c];
  high *= rstd * q_gamma[c + {{ D // 8 }}u];
{% endif %}
  let turn = turn_by(f32(max(positions[row], 0)) * inv_freq[c]);
  return Quads((low * turn.cos - high * turn.sin) * {{ SCALE | f32 }}, (high * turn.cos + low * turn.sin) * {{ SCALE | f32 }});
}
{% endmacro %}
