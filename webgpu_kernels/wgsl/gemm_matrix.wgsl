{% set columns = 64 // (matrices | length) %}
// gemm with subgroup matrices: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], with the epilogues of gemm.wgsl.
// Grid: x = tiles of {{ columns }} output columns n, y = tiles of 32 output rows t. Each step stages 32 × 32 of x and 64 × 32 of the weights
// (dequantised once) in workgroup memory; each of four subgroups owns 16 rows of x by 32 of the weights, as 2 × 4 matrices of 8 × 8.
// These go back through workgroup memory, and all 128 invocations write y. Of subgroups smaller than 32 some are idle; of larger
// ones there are too few.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is staged and applied at the end.
{% endif %}
// What subgroups do differs by their number alone, which the uniformity analysis, of whole workgroups, cannot know.
diagnostic(off, chromium.subgroup_matrix_uniformity);
{% include "linear.wgsl" %}

// Rows of 32 values, {{ STRIDE }} apart: neighbouring rows lie in other banks.
var<workgroup> x_tile: array<f32, {{ 32 * STRIDE }}>;
// In the end, 32 rows of 64 sums.
var<workgroup> w_tile: array<f32, {{ 64 * STRIDE }}>;
{% if norm %}
var<workgroup> squares: array<f32, 256>;
{% endif %}

fn stage_x(row: u32, i: u32, value: vec4<f32>) {
{% for e in range(4) %}
  x_tile[row * {{ STRIDE }}u + i * 4u + {{ e }}u] = value[{{ e }}];
{% endfor %}
}

fn stage_w(row: u32, i: u32, value: vec4<f32>) {
{% for e in range(4) %}
  w_tile[row * {{ STRIDE }}u + i * 4u + {{ e }}u] = value[{{ e }}];
{% endfor %}
}

{# Vectors of 32 values, or words of a group. #}
{% set per_row = GROUP_WORDS if grouped else 8 %}
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32,
        @builtin(subgroup_id) subgroup: u32) {
  let count = {{ "params.row_count" if split else "%du" % N }};
  let first_n = group.x * {{ columns }}u;
  let first_t = group.y * 32u;
  // What this invocation stages: vector i of two rows of x, and {{ "a word" if grouped else "a vector" }} of every {{ 128 // per_row }}th row of the weights.
  let staged = tid / 8u;
  let i_staged = tid % 8u;
{% for r in range(2) %}
  let t{{ r }} = min(first_t + staged + {{ 16 * r }}u, params.rows - 1u);
  let source{{ r }} = {{ ("u32(rows[t%d])" if gather else "t%d") % r }} * {{ K // 4 }}u;
{% if norm %}
  var square{{ r }} = 0.0f;
{% endif %}
{% endfor %}
{% for j in range(columns * per_row // 128) %}
  let row{{ j }} = min(first_n + tid / {{ per_row }}u + {{ 128 // per_row * j }}u, count - 1u);
{% endfor %}
  // What its subgroup owns.
  let x_rows = subgroup % 2u * 16u;
  let w_rows = subgroup / 2u * 32u;
{% for r in range(2) %}
{% for c in range(4) %}
  var sum{{ r }}_{{ c }} = subgroup_matrix_result<f32, 8, 8>();
{% endfor %}
{% endfor %}

  for (var k0 = 0u; k0 < params.k; k0 += 32u) {
    let at = k0 / 4u + i_staged;
{% for r in range(2) %}
    let v{{ r }} = x[source{{ r }} + at];
{% if norm %}
    square{{ r }} += dot(v{{ r }}, v{{ r }});
{% endif %}
    stage_x(staged + {{ 16 * r }}u, i_staged, v{{ r }}{{ " * gamma[at]" if norm }});
{% endfor %}
{% for p in matrices %}
{% set first = columns * loop.index0 %}
{% for j in range(columns * per_row // 128) %}
    {
      let i = tid % {{ per_row }}u;
      let row = tid / {{ per_row }}u + {{ first + 128 // per_row * j }}u;
{% if grouped %}
      let at_group = row{{ j }} * {{ K // 32 }}u + k0 / 32u;
      let word = {{ p }}q_weight[at_group * {{ GROUP_WORDS }}u + i];
      let s = {{ p }}scale(at_group);
{% for shift in SHIFTS %}
      stage_w(row, i * {{ SHIFTS | length }}u + {{ loop.index0 }}u, steps(word{{ shift }}) * s);
{% endfor %}
{% else %}
      stage_w(row, i, {{ p }}element(row{{ j }} * {{ K // 4 }}u + at));
{% endif %}
    }
{% endfor %}
{% endfor %}
    workgroupBarrier();
    if (subgroup < 4u) {
      for (var k = 0u; k < 32u; k += 8u) {
{% for r in range(2) %}
        let x{{ r }} = subgroupMatrixLoad<subgroup_matrix_left<f32, 8, 8>, row_major>(&x_tile, (x_rows + {{ 8 * r }}u) * {{ STRIDE }}u + k, {{ STRIDE }}u);
{% endfor %}
{% for c in range(4) %}
        let w{{ c }} = subgroupMatrixLoad<subgroup_matrix_right<f32, 8, 8>, col_major>(&w_tile, (w_rows + {{ 8 * c }}u) * {{ STRIDE }}u + k, {{ STRIDE }}u);
{% for r in range(2) %}
        sum{{ r }}_{{ c }} = subgroupMatrixMultiplyAccumulate(x{{ r }}, w{{ c }}, sum{{ r }}_{{ c }});
{% endfor %}
{% endfor %}
      }
    }
    workgroupBarrier();
  }

  if (subgroup < 4u) {
{% for r in range(2) %}
{% for c in range(4) %}
    subgroupMatrixStore<row_major>(&w_tile, (x_rows + {{ 8 * r }}u) * 64u + w_rows + {{ 8 * c }}u, sum{{ r }}_{{ c }}, 64u);
{% endfor %}
{% endfor %}
  }
{% if norm %}
  // The eight invocations that staged a row hold the parts of its Σx².
{% for r in range(2) %}
  squares[tid + {{ 128 * r }}u] = square{{ r }};
{% endfor %}
  workgroupBarrier();
  var total = 0.0f;
  if (tid < 32u) {
    for (var i = 0u; i < 8u; i++) {
      total += squares[tid * 8u + i];
    }
    x_tile[tid] = inverseSqrt(total / {{ K | float | f32 }} + {{ eps | f32 }});
  }
{% endif %}
  workgroupBarrier();
  for (var i = tid; i < {{ 32 * columns }}u; i += 128u) {
    let t_tile = i / {{ columns }}u;
    let t = first_t + t_tile;
    let row = first_n + i % {{ columns }}u;
    if (t < params.rows && row < count) {
      let n = row{{ " + params.row_begin" if split }};
      let out = t * {{ N }}u + n;
{% for p in matrices %}
      let {{ p }}value = w_tile[t_tile * 64u + i % {{ columns }}u{{ " + %du" % columns if not loop.first }}]{{ " * x_tile[t_tile]" if norm }}{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
      y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
    }
  }
}
