{# Reductions over a workgroup of THREADS invocations whose result every invocation gets. Two steps of THREADS / 16 and
   16 values: two barriers, and any later call may follow at once. `functions`: (name, expression of a and b). `sixteen`:
   16, or something that the compiler can't see is 16: software adapters take seconds for loops that they unroll. #}
{% macro reductions(type, threads, functions, sixteen="16u") %}
var<workgroup> {{ type | replace("<", "_") | replace(">", "") }}_parts: array<{{ type }}, {{ threads }}>;
var<workgroup> {{ type | replace("<", "_") | replace(">", "") }}_sums: array<{{ type }}, 16>;
{% set parts = type | replace("<", "_") | replace(">", "") ~ "_parts" %}
{% set sums = type | replace("<", "_") | replace(">", "") ~ "_sums" %}
{% for name, combined in functions %}

// The same result in every invocation; {{ threads // 16 }} values meet, then 16.
fn {{ name }}(tid: u32, value: {{ type }}) -> {{ type }} {
  {{ parts }}[tid] = value;
  workgroupBarrier();
  if (tid < 16u) {
    var a = value;
    for (var i = 16u; i < {{ threads // 16 }}u * {{ sixteen }}; i += 16u) {
      let b = {{ parts }}[tid + i];
      a = {{ combined }};
    }
    {{ sums }}[tid] = a;
  }
  workgroupBarrier();
  var a = {{ sums }}[0];
  for (var i = 1u; i < {{ sixteen }}; i++) {
    let b = {{ sums }}[i];
    a = {{ combined }};
  }
  return a;
}
{% endfor %}
{% endmacro %}
