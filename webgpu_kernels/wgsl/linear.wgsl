{# What every kernel of `linear` begins with. #}
{% include "bindings.wgsl" %}

{% include "weights.wgsl" %}
{% if glu %}
{% include "silu.wgsl" %}

{% endif %}
