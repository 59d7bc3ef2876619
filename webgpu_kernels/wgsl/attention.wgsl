{# What the attention kernels share: where a position lies in the pages, and what becomes of a score. #}
{% macro page_row() %}
// First element of a position's row in the pages of a KV head.
fn page_row(seq: u32, kv_head: u32, position: u32) -> u32 {
  let page = u32(page_table[seq * params.max_pages + position / {{ PAGE }}u]);
  return ((page * {{ KV }}u + kv_head) * {{ PAGE }}u + position % {{ PAGE }}u) * {{ CHUNKS }}u;
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
{# Quads of four values of a chunk of 16 bytes: two of f16, which need no shader-f16 to be read, or one of f32. #}
{% macro quad(chunk, number) %}
{%- if kv == "f16" -%}
vec4<f32>(unpack2x16float({{ chunk }}.{{ "xz"[number] }}), unpack2x16float({{ chunk }}.{{ "yw"[number] }}))
{%- else -%}
{{ chunk }}
{%- endif -%}
{% endmacro %}
{# As stored: an f32 that has lost what the pages do not keep. #}
{% macro stored(value) %}
{{- "quantizeToF16" if kv == "f16" }}({{ value }})
{%- endmacro %}
{# A chunk of quads that `stored` made: exact, however the adapter rounds. #}
{% macro chunk(array, at) %}
{%- if kv == "f16" -%}
vec4<u32>(pack2x16float({{ array }}[{{ at }}].xy), pack2x16float({{ array }}[{{ at }}].zw), pack2x16float({{ array }}[{{ at }} + 1u].xy), pack2x16float({{ array }}[{{ at }} + 1u].zw))
{%- else -%}
{{ array }}[{{ at }}]
{%- endif -%}
{% endmacro %}
{# The columns of a word: two of f16, or one of f32. #}
{% macro columns(word) %}
{%- if kv == "f16" -%}
unpack2x16float({{ word }})
{%- else -%}
{{ word }}
{%- endif -%}
{% endmacro %}
