{% set columns = 4 // (matrices | length) %}
// gemm: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], with bias, residual and SiLU(gate)·up in the epilogue.
// Grid: x = tiles of {{ 16 * columns }} output columns n, y = tiles of {{ ROWS }} output rows t. Each step stages {{ ROWS }} × 32 of x and 64 × 32 of the
// weights (dequantised once) in workgroup memory; each of the 16 × 8 invocations owns {{ ROWS // 8 }} rows, 8 apart, of {{ columns }} columns, 16 apart,
// and writes them.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is staged and applied at the end.
{% endif %}
{% include "linear.wgsl" %}

// Rows of 32 values as 8 vectors.
var<workgroup> x_tile: array<vec4<f32>, {{ 8 * ROWS }}>;
var<workgroup> w_tile: array<vec4<f32>, 512>;

// Where vector i of a row is: each of 8 neighbouring rows has it in other banks.
fn place(row: u32, i: u32) -> u32 {
  return row * 8u + (i ^ (row % 8u));
}

@compute @workgroup_size(16, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
        @builtin(local_invocation_index) tid: u32) {
  let count = {{ "params.row_count" if split else "%du" % N }};
  let first_n = group.x * {{ 16 * columns }}u;
  let first_t = group.y * {{ ROWS }}u;
  // What this invocation stages: vector i of every 16th row …
  let staged = tid / 8u;
  let i_staged = tid % 8u;
{% for r in range(ROWS // 16) %}
  let t{{ r }} = min(first_t + staged + {{ 16 * r }}u, params.rows - 1u);
  let source{{ r }} = {{ ("u32(rows[t%d])" if gather else "t%d") % r }} * {{ K // 4 if wide else K }}u;
{% if norm %}
  var square{{ r }} = 0.0f;
{% endif %}
{% endfor %}
{% if grouped %}
{% set rows_apart = 128 // GROUP_WORDS %}
  // … and a word of weights, of rows {{ rows_apart }} apart.
{% for j in range(16 * columns // rows_apart) %}
  let row{{ j }} = min(first_n + tid / {{ GROUP_WORDS }}u + {{ rows_apart * j }}u, count - 1u);
{% endfor %}
{% else %}
{% for j in range(columns) %}
  let row{{ j }} = min(first_n + staged + {{ 16 * j }}u, count - 1u);
{% endfor %}
{% endif %}
  // Of the rows local.x, local.x + 16, … of the weights' tile.
{% for i in range(ROWS // 8) %}
  var sum{{ i }} = vec4<f32>();
{% endfor %}

  for (var k0 = 0u; k0 < params.k; k0 += 32u) {
{% if wide %}
    let at = k0 / 4u + i_staged;
{% if norm %}
    var scaling = vec4<f32>();
{% endif %}
{% for r in range(ROWS // 16) %}
    var v{{ r }} = vec4<f32>();
{% endfor %}
{% set inside = K % 32 == 0 %}
    {{ "{" if inside else "if (at < %du) {" % (K // 4) }}
{% if norm %}
      scaling = gamma[at];
{% endif %}
{% for r in range(ROWS // 16) %}
      v{{ r }} = x[source{{ r }} + at];
{% endfor %}
    }
{% for r in range(ROWS // 16) %}
{% if norm %}
    square{{ r }} += dot(v{{ r }}, v{{ r }});
{% endif %}
    x_tile[place(staged + {{ 16 * r }}u, i_staged)] = v{{ r }}{{ " * scaling" if norm }};
{% endfor %}
{% else %}
    let at = k0 + i_staged * 4u;
{% for r in range(ROWS // 16) %}
    var v{{ r }} = vec4<f32>();
    for (var i = 0u; i < 4u && at + i < {{ K }}u; i++) {
      v{{ r }}[i] = x[source{{ r }} + at + i];
{% if norm %}
      square{{ r }} += v{{ r }}[i] * v{{ r }}[i];
      v{{ r }}[i] *= gamma[at + i];
{% endif %}
    }
    x_tile[place(staged + {{ 16 * r }}u, i_staged)] = v{{ r }};
{% endfor %}
{% endif %}
{% for p in matrices %}
{% set first = 32 * loop.index0 %}
{% if grouped %}
{% for j in range(16 * columns // rows_apart) %}
    {
      let i = tid % {{ GROUP_WORDS }}u;
      let row = tid / {{ GROUP_WORDS }}u + {{ first + rows_apart * j }}u;
      let group = row{{ j }} * {{ K // 32 }}u + k0 / 32u;
      let word = {{ p }}q_weight[group * {{ GROUP_WORDS }}u + i];
      let s = {{ p }}scale(group);
{% for shift in SHIFTS %}
      w_tile[place(row, i * {{ SHIFTS | length }}u + {{ loop.index0 }}u)] = steps(word{{ shift }}) * s;
{% endfor %}
    }
{% endfor %}
{% else %}
{% for j in range(columns) %}
    {
      var w = vec4<f32>();
{% if wide %}
      {{ "{" if inside else "if (at < %du) {" % (K // 4) }}
        w = {{ p }}element(row{{ j }} * {{ K // 4 }}u + at);
      }
{% else %}
      for (var i = 0u; i < 4u && at + i < {{ K }}u; i++) {
        w[i] = {{ p }}element(row{{ j }} * {{ K }}u + at + i);
      }
{% endif %}
      w_tile[place(staged + {{ first + 16 * j }}u, i_staged)] = w;
    }
{% endfor %}
{% endif %}
{% endfor %}
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
{% for j in range(4) %}
      let w{{ j }} = w_tile[place(local.x + {{ 16 * j }}u, i)];
{% endfor %}
{% for k in range(4) %}
      let k{{ k }} = vec4<f32>(w0[{{ k }}], w1[{{ k }}], w2[{{ k }}], w3[{{ k }}]);
{% endfor %}
{% for t in range(ROWS // 8) %}
      let x{{ t }} = x_tile[place(local.y + {{ 8 * t }}u, i)];
{% for k in range(4) %}
      sum{{ t }} += x{{ t }}[{{ k }}] * k{{ k }};
{% endfor %}
{% endfor %}
    }
    workgroupBarrier();
  }

{% if norm %}
  // The eight invocations that staged a row hold the parts of its Σx².
{% for r in range(ROWS // 16) %}
  x_tile[(staged + {{ 16 * r }}u) * 8u + i_staged].x = square{{ r }};
{% endfor %}
  workgroupBarrier();
  var total = 0.0f;
  if (tid < {{ ROWS }}u) {
    for (var i = 0u; i < 8u; i++) {
      total += x_tile[tid * 8u + i].x;
    }
  }
  workgroupBarrier();
  if (tid < {{ ROWS }}u) {
    x_tile[tid].x = inverseSqrt(total / {{ K | float | f32 }} + {{ eps | f32 }});
  }
  workgroupBarrier();
{% endif %}
{% set rstd = "x_tile[t_tile].x" %}
{% include "gemm_write.wgsl" %}
}
