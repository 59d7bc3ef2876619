{% if f16 %}
enable f16;
{% endif %}
{% if subgroups %}
enable subgroups;
{% endif %}
{% if subgroup_matrix %}
enable chromium_experimental_subgroup_matrix;
{% endif %}

{% for slot, type in slots %}
@group(0) @binding({{ loop.index0 }}) var<storage, {{ slot.access }}> {{ slot.name }}: array<{{ type }}>;
{% endfor %}
{% if fields %}
struct Params {
{% for field in fields %}
  {{ field.name }}: {{ field.dtype }},
{% endfor %}
}
@group(0) @binding({{ slots | length }}) var<uniform> params: Params;
{% endif %}
