// gemm for software adapters: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], with the epilogues of gemm.wgsl.
// Grid: x = blocks of {{ THREADS * COLUMNS }} output columns n, y = tiles of {{ ROWS }} output rows t. An invocation owns {{ COLUMNS }} columns, {{ THREADS }} apart,
// for all rows of its tile, and writes them.
//
// There a vector register is a subgroup, arithmetic is cheap, and a load (of workgroup memory too) costs by the number that
// each invocation loads. So nothing is staged: four invocations of a subgroup load x, each its row of every four, and
// broadcast it; each dequantises the weights of its own columns in registers.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed by the invocation that loads the row and applied at the end.
{% endif %}
{% include "linear.wgsl" %}

{% set columns = "vec%d<f32>" % COLUMNS %}
{# Adds the products of the first `rows` rows of the tile, over the first `end` vectors of x. #}
{% macro products(rows, end) %}
  for (var at = 0u; at < {{ end }}; at += {{ STEP }}u) {
{% for h in range(STEP) %}
{% for r in range(rows // 4) %}
    var x{{ h }}_{{ r }} = vec4<f32>();
{% endfor %}
{% endfor %}
    if (lane < 4u) {
{% for h in range(STEP) %}
{% if norm %}
      let gamma{{ h }} = gamma[at + {{ h }}u];
{% endif %}
{% for r in range(rows // 4) %}
{% if norm %}
      let raw{{ h }}_{{ r }} = x[source{{ r }} + at + {{ h }}u];
      square{{ r }} += dot(raw{{ h }}_{{ r }}, raw{{ h }}_{{ r }});
      x{{ h }}_{{ r }} = raw{{ h }}_{{ r }} * gamma{{ h }};
{% else %}
      x{{ h }}_{{ r }} = x[source{{ r }} + at + {{ h }}u];
{% endif %}
{% endfor %}
{% endfor %}
    }
{% for p in matrices %}
{% for c in range(COLUMNS) %}
{% if grouped %}
    let {{ p }}scale{{ c }} = {{ p }}scale(row{{ c }} * {{ K // 32 }}u + at / 8u);
{% for h in range(0, STEP, SHIFTS | length) %}
    let {{ p }}word{{ c }}_{{ h }} = {{ p }}q_weight[row{{ c }} * {{ K // (4 * SHIFTS | length) }}u + {{ "at / 2u" if SHIFTS | length == 2 else "at + %du" % h }}];
{% for shift in SHIFTS %}
    let {{ p }}w{{ c }}_{{ h + loop.index0 }} = steps({{ p }}word{{ c }}_{{ h }}{{ shift }}) * {{ p }}scale{{ c }};
{% endfor %}
{% endfor %}
{% else %}
{% for h in range(STEP) %}
    let {{ p }}w{{ c }}_{{ h }} = {{ p }}element(row{{ c }} * {{ K // 4 }}u + at + {{ h }}u);
{% endfor %}
{% endif %}
{% endfor %}
{% endfor %}
{% for h in range(STEP) %}
{% for t in range(rows) %}
    let v{{ h }}_{{ t }} = subgroupBroadcast(x{{ h }}_{{ t // 4 }}, {{ t % 4 }}u);
{% for p in matrices %}
    {{ p }}sum{{ t }} += {{ columns }}({% for c in range(COLUMNS) %}dot(v{{ h }}_{{ t }}, {{ p }}w{{ c }}_{{ h }}){{ ", " if not loop.last }}{% endfor %});
{% endfor %}
{% endfor %}
{% endfor %}
  }
{% endmacro %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
  let count = {{ "params.row_count" if split else "%du" % N }};
  let first_n = group.x * {{ THREADS * COLUMNS }}u + tid;
  let first_t = group.y * {{ ROWS }}u;
{% for r in range(ROWS // 4) %}
  let t_loaded{{ r }} = min(first_t + lane % 4u + {{ 4 * r }}u, params.rows - 1u);
  let source{{ r }} = {{ ("u32(rows[t_loaded%d])" if gather else "t_loaded%d") % r }} * {{ K // 4 }}u;
{% if norm %}
  var square{{ r }} = 0.0f;
{% endif %}
{% endfor %}
{% for c in range(COLUMNS) %}
  let row{{ c }} = min(first_n + {{ c * THREADS }}u, count - 1u);
{% endfor %}
{% for p in matrices %}
{% for t in range(ROWS) %}
  var {{ p }}sum{{ t }} = {{ columns }}();
{% endfor %}
{% endfor %}

  // The last tile of a short prompt pays for the rows that it has; only one of the loops runs.
  let few = params.rows - first_t <= {{ FEW }}u;
  let end = select(params.k / 4u, 0u, few);
  let few_end = params.k / 4u - end;
{{ products(ROWS, "end") }}
{{ products(FEW, "few_end") }}
{% for t in range(ROWS) %}
{% if norm %}
  let rstd{{ t }} = subgroupBroadcast(inverseSqrt(square{{ t // 4 }} / {{ K | float | f32 }} + {{ eps | f32 }}), {{ t % 4 }}u);
{% set scaled = " * rstd%d" % t %}
{% else %}
{% set scaled = "" %}
{% endif %}
  if (first_t + {{ t }}u < params.rows) {
    let start = (first_t + {{ t }}u) * {{ N }}u{{ " + params.row_begin" if split }};
{% for c in range(COLUMNS) %}
    if (first_n + {{ c * THREADS }}u < count) {
      let n = first_n + {{ c * THREADS }}u;
      let out = start + n;
{% for p in matrices %}
      let {{ p }}value = {{ p }}sum{{ t }}[{{ c }}]{{ scaled }}{{ (" + %sbias[n%s]" % (p, " + params.row_begin" if split else "")) if bias }};
{% endfor %}
      y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
    }
{% endfor %}
  }
{% endfor %}
}
