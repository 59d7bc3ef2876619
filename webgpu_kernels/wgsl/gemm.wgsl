// gemm: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], with bias, residual and SiLU(gate)·up in the epilogue.
// Grid: x = tiles of 64 output columns n, y = tiles of 64 output rows t. Each step stages 64 × 16 of x and of W
// (dequantised) in workgroup memory; each of the 16 × 16 invocations owns 4 × 4 outputs, 16 apart, and writes them.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is staged and applied at the end.
{% endif %}
{% include "bindings.wgsl" %}

{% include "weights.wgsl" %}
{% if glu %}
{% include "silu.wgsl" %}

{% endif %}
// Rows of 16 values as 4 vectors, padded to 5 to spread them over banks.
var<workgroup> x_tile: array<vec4<f32>, 320>;
{% for p in matrices %}
var<workgroup> {{ p }}w_tile: array<vec4<f32>, 320>;
{% endfor %}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
        @builtin(local_invocation_index) tid: u32) {
  let count = {{ "params.row_count" if split else "%du" % N }};
  let first_n = group.x * 64u;
  let first_t = group.y * 64u;
  // What this invocation stages: 4 values of one row.
  let tile_row = tid / 4u;
  let tile_k = tid % 4u;
  let t_staged = min(first_t + tile_row, params.rows - 1u);
  let x_row = {{ "u32(rows[t_staged])" if gather else "t_staged" }};
{% if q4 %}
  // … and 8 weights of one row (the first 128 invocations).
  let w_row = min(first_n + tid / 2u, count - 1u);
{% else %}
  let w_row = min(first_n + tile_row, count - 1u);
{% endif %}
{% for p in matrices %}
{% for i in range(4) %}
  var {{ p }}sum{{ i }} = vec4<f32>();
{% endfor %}
{% endfor %}
{% if norm %}
  var square = 0.0f;
{% endif %}

  for (var k0 = 0u; k0 < {{ K }}u; k0 += 16u) {
    let k = k0 + tile_k * 4u;
    var v = vec4<f32>();
{% if wide %}
    if (k < {{ K }}u) {
      v = x[x_row * {{ K // 4 }}u + k / 4u];
{% if norm %}
      square += dot(v, v);
      v *= gamma[k / 4u];
{% endif %}
    }
{% else %}
    for (var i = 0u; i < 4u && k + i < {{ K }}u; i++) {
      v[i] = x[x_row * {{ K }}u + k + i];
{% if norm %}
      square += v[i] * v[i];
      v[i] *= gamma[k + i];
{% endif %}
    }
{% endif %}
    x_tile[tile_row * 5u + tile_k] = v;
{% if q4 %}
    if (tid < 128u) {
      let at = k0 / 8u + tid % 2u;
      let out = (tid / 2u) * 5u + (tid % 2u) * 2u;
{% for p in matrices %}
      let {{ p }}word = {{ p }}q_weight[w_row * {{ K // 8 }}u + at];
      let {{ p }}s = {{ p }}scale(w_row * {{ K // 32 }}u + at / 4u);
      {{ p }}w_tile[out] = (low_nibbles({{ p }}word) - 7.0f) * {{ p }}s;
      {{ p }}w_tile[out + 1u] = (high_nibbles({{ p }}word) - 7.0f) * {{ p }}s;
{% endfor %}
    }
{% else %}
{% for p in matrices %}
    var {{ p }}w = vec4<f32>();
{% if wide %}
    if (k < {{ K }}u) {
      {{ p }}w = {{ p }}element(w_row * {{ K // 4 }}u + k / 4u);
    }
{% else %}
    for (var i = 0u; i < 4u && k + i < {{ K }}u; i++) {
      {{ p }}w[i] = {{ p }}element(w_row * {{ K }}u + k + i);
    }
{% endif %}
    {{ p }}w_tile[tile_row * 5u + tile_k] = {{ p }}w;
{% endfor %}
{% endif %}
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
{% for j in range(4) %}
      let x{{ j }} = x_tile[(local.y + {{ 16 * j }}u) * 5u + i];
{% endfor %}
{% for p in matrices %}
{% for j in range(4) %}
      let {{ p }}w{{ j }} = {{ p }}w_tile[(local.x + {{ 16 * j }}u) * 5u + i];
{% endfor %}
{% for j in range(4) %}
      {{ p }}sum{{ j }} += vec4<f32>({% for n in range(4) %}dot(x{{ j }}, {{ p }}w{{ n }}){{ ", " if not loop.last }}{% endfor %});
{% endfor %}
{% endfor %}
    }
    workgroupBarrier();
  }

{% if norm %}
  // The four invocations that staged a row hold the parts of its Σx².
  x_tile[tid].x = square;
  workgroupBarrier();
{% endif %}
{% for j in range(4) %}
  {
    let t_tile = local.y + {{ 16 * j }}u;
    let t = first_t + t_tile;
{% if norm %}
    let parts = t_tile * 4u;
    let total = (x_tile[parts].x + x_tile[parts + 1u].x) + (x_tile[parts + 2u].x + x_tile[parts + 3u].x);
    let rstd = inverseSqrt(total / {{ K | float | f32 }} + {{ eps | f32 }});
{% set scaled = " * rstd" %}
{% else %}
{% set scaled = "" %}
{% endif %}
    for (var j = 0u; j < 4u; j++) {
      let row = first_n + local.x + 16u * j;
      if (t < params.rows && row < count) {
        let n = row{{ " + params.row_begin" if split }};
        let out = t * {{ N }}u + n;
{% for p in matrices %}
        let {{ p }}value = {{ p }}sum{{ j }}[j]{{ scaled }}{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
        y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
      }
    }
  }
{% endfor %}
}
