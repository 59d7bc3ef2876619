// gemv: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], with bias, residual and SiLU(gate)·up in the epilogue.
// Grid: x·z = blocks of {{ TEAMS * COLUMNS }} output columns n, y = output row t.
// {{ LANES }} lanes stride over K for {{ COLUMNS }} columns at once; their sums meet in workgroup memory and the first lane
// of each team writes the columns.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed beside the products and applied at the end.
{% endif %}
{% set vec = "vec4<f32>" %}
{% include "bindings.wgsl" %}

{% include "weights.wgsl" %}
{% if q4 %}
// 32 weights of one group times 32 activations; the offset of 7 is the caller's.
fn dot_group(q: vec4<u32>, x0: {{ vec }}, x1: {{ vec }}, x2: {{ vec }}, x3: {{ vec }},
             x4: {{ vec }}, x5: {{ vec }}, x6: {{ vec }}, x7: {{ vec }}) -> f32 {
  return dot(low_nibbles(q.x), x0) + dot(high_nibbles(q.x), x1)
    + dot(low_nibbles(q.y), x2) + dot(high_nibbles(q.y), x3)
    + dot(low_nibbles(q.z), x4) + dot(high_nibbles(q.z), x5)
    + dot(low_nibbles(q.w), x6) + dot(high_nibbles(q.w), x7);
}

{% endif %}
{% for p in matrices %}
var<workgroup> {{ p }}partial: array<vec4<f32>, {{ THREADS }}>;
{% endfor %}
{% if norm %}
var<workgroup> squares: array<f32, {{ THREADS }}>;
{% endif %}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % {{ LANES }}u;
  let team = tid / {{ LANES }}u;
  let t = group.y;
  let count = {{ "params.row_count" if split else "%du" % N }};
  let first = ((group.z * {{ GRID_X }}u + group.x) * {{ TEAMS }}u + team) * {{ COLUMNS }}u;
{% for j in range(COLUMNS) %}
  let row{{ j }} = min(first + {{ j }}u, count - 1u) * {{ CHUNKS }}u;
{% endfor %}
  let source = {{ "u32(rows[t])" if gather else "t" }} * {{ CHUNKS * (8 if q4 else 1) }}u;
{% for p in matrices %}
  var {{ p }}sum = vec4<f32>();
{% endfor %}
{% if norm %}
  var square = 0.0f;
{% endif %}

  for (var c = lane; c < {{ CHUNKS }}u; c += {{ LANES }}u) {
{% if q4 %}
{% for i in range(8) %}
{% if norm %}
    let raw{{ i }} = x[source + c * 8u + {{ i }}u];
    square += dot(raw{{ i }}, raw{{ i }});
    let x{{ i }} = raw{{ i }} * gamma[c * 8u + {{ i }}u];
{% else %}
    let x{{ i }} = x[source + c * 8u + {{ i }}u];
{% endif %}
{% endfor %}
    let offset = 7.0f * dot(((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7)), vec4<f32>(1.0f));
{% for p in matrices %}
    {{ p }}sum += vec4<f32>(
{% for j in range(COLUMNS) %}
      {{ p }}scale(row{{ j }} + c) * (dot_group({{ p }}q_weight[row{{ j }} + c], x0, x1, x2, x3, x4, x5, x6, x7) - offset),
{% endfor %}
    );
{% endfor %}
{% else %}
{% set product = "dot(%s, v)" if wide else "%s * v" %}
{% if norm %}
    let raw = x[source + c];
    square += {{ "dot(raw, raw)" if wide else "raw * raw" }};
    let v = raw * gamma[c];
{% else %}
    let v = x[source + c];
{% endif %}
{% for p in matrices %}
    {{ p }}sum += vec4<f32>(
{% for j in range(COLUMNS) %}
      {{ product % (p ~ "element(row" ~ j ~ " + c)") }},
{% endfor %}
    );
{% endfor %}
{% endif %}
  }

{% set heads = [LANES, 8] | min %}
{% set strides = LANES // heads %}
{% for p in matrices %}
  {{ p }}partial[tid] = {{ p }}sum;
{% endfor %}
{% if norm %}
  squares[tid] = square;
{% endif %}
  workgroupBarrier();
{% if strides > 1 %}
  // Two steps, {{ strides }} then {{ heads }} lanes: fewer barriers than a tree.
  if (lane < {{ heads }}u) {
    for (var i = 1u; i < {{ strides }}u; i++) {
{% for p in matrices %}
      {{ p }}sum += {{ p }}partial[tid + i * {{ heads }}u];
{% endfor %}
{% if norm %}
      square += squares[tid + i * {{ heads }}u];
{% endif %}
    }
{% for p in matrices %}
    {{ p }}partial[tid] = {{ p }}sum;
{% endfor %}
{% if norm %}
    squares[tid] = square;
{% endif %}
  }
  workgroupBarrier();
{% endif %}
  if (lane != 0u) {
    return;
  }
  for (var i = 1u; i < {{ heads }}u; i++) {
{% for p in matrices %}
    {{ p }}sum += {{ p }}partial[tid + i];
{% endfor %}
{% if norm %}
    square += squares[tid + i];
{% endif %}
  }
{% if norm %}
  let rstd = inverseSqrt(square / {{ K | float | f32 }} + {{ eps | f32 }});
{% for p in matrices %}
  {{ p }}sum *= rstd;
{% endfor %}
{% endif %}
  for (var j = 0u; j < {{ COLUMNS }}u && first + j < count; j++) {
    let n = first + j{{ " + params.row_begin" if split }};
    let out = t * {{ N }}u + n;
{% for p in matrices %}
    let {{ p }}value = {{ p }}sum[j]{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
    y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
  }
}
{% if glu %}

{% include "silu.wgsl" %}
{% endif %}
