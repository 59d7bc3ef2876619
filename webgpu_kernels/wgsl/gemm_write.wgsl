{# Writes the sums of an invocation: rows 8 apart, columns 16 apart. `rstd` is where that of row t_tile lies. #}
{% for i in range(ROWS // 8) %}
  {
    let t_tile = local.y + {{ 8 * i }}u;
    let t = first_t + t_tile;
{% if norm %}
    sum{{ i }} *= {{ rstd }};
{% endif %}
    for (var j = 0u; j < {{ columns }}u; j++) {
      let row = first_n + local.x + 16u * j;
      if (t < params.rows && row < count) {
        let n = row{{ " + params.row_begin" if split }};
        let out = t * {{ N }}u + n;
{% for p in matrices %}
        let {{ p }}value = sum{{ i }}[j{{ " + 2u" if not loop.first }}]{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
        y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
      }
    }
  }
{% endfor %}
