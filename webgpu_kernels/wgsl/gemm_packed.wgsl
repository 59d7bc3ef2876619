{% set columns = 4 // (matrices | length) %}
// gemm with integer products: y[t, n] = rstd_t · Σ_groups s_x[t, g] · s_w[n, g] · Σ_k q_x[t, k] · q_w[n, k], where q_x = x∘γ rounded
// to int8 with a scale for each row and group of 32, as the weights have theirs; with the epilogues of gemm.wgsl.
// Grid: x = tiles of {{ 16 * columns }} output columns n, y = tiles of {{ ROWS }} output rows t. In each step, half of the 128 invocations
// stage a group of a row of x, the others one of the weights; each owns {{ ROWS // 8 }} rows, 8 apart, of {{ columns }} columns, 16 apart, and writes
// them.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is staged and applied at the end.
{% endif %}
{% include "linear.wgsl" %}

// Groups of 32 bytes, in two halves.{{ " Of 8 consecutive values, the even ones come first: so the nibbles of a word unpack." if q4 }}
var<workgroup> x_tile: array<vec4<u32>, {{ 2 * ROWS }}>;
var<workgroup> x_scale: array<f32, {{ ROWS }}>;
// Σq_x times {{ "7" if q4 else "-1" }}: what the weights' offset adds.
var<workgroup> x_offset: array<i32, {{ ROWS }}>;
var<workgroup> w_tile: array<vec4<u32>, 128>;
var<workgroup> w_scale: array<f32, 64>;

{% for p in matrices %}
// 16 weights of a group as signed bytes, {{ "0 … 15: 7 more than the weight" if q4 else "-128 … 127: 1 less than the weight" }}.
fn {{ p }}bytes(at: u32) -> vec4<u32> {
{% if q4 %}
  let low = {{ p }}q_weight[at];
  let high = {{ p }}q_weight[at + 1u];
  return vec4<u32>(low, low >> 4u, high, high >> 4u) & vec4<u32>(0x0f0f0f0fu);
{% else %}
  return vec4<u32>({% for i in range(4) %}{{ p }}q_weight[at + {{ i }}u]{{ ", " if not loop.last }}{% endfor %}) ^ vec4<u32>(0x80808080u);
{% endif %}
}

{% endfor %}
{% set pairs = (("a.xz, b.xz", "a.yw, b.yw") if q4 else ("a", "b")) %}
fn pack(a: vec4<f32>, b: vec4<f32>) -> vec2<u32> {
  return vec2<u32>({% for pair in pairs %}pack4xI8(vec4<i32>(round(vec4<f32>({{ pair }})))){{ ", " if not loop.last }}{% endfor %});
}

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

@compute @workgroup_size(16, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
        @builtin(local_invocation_index) tid: u32) {
  let count = {{ "params.row_count" if split else "%du" % N }};
  let first_n = group.x * {{ 16 * columns }}u;
  let first_t = group.y * {{ ROWS }}u;
  let staged = tid % 64u;
  let t_staged = min(first_t + staged, params.rows - 1u);
  let source = {{ "u32(rows[t_staged])" if gather else "t_staged" }} * {{ K // 4 }}u;
  let row_staged = min(first_n + staged % {{ 16 * columns }}u, count - 1u) * {{ K // 32 }}u;
  // Of the rows local.x, local.x + 16, … of the weights' tile.
{% for i in range(ROWS // 8) %}
  var sum{{ i }} = vec4<f32>();
{% endfor %}
{% if norm %}
  var square = 0.0f;
{% endif %}

  for (var g = 0u; g < params.k / 32u; g++) {
    if (tid < 64u) {
      let at = source + g * 8u;
{% for i in range(8) %}
{% if norm %}
      let raw{{ i }} = x[at + {{ i }}u];
      square += dot(raw{{ i }}, raw{{ i }});
      let v{{ i }} = raw{{ i }} * gamma[g * 8u + {{ i }}u];
{% else %}
      let v{{ i }} = x[at + {{ i }}u];
{% endif %}
{% endfor %}
      let most4 = max(max(max(abs(v0), abs(v1)), max(abs(v2), abs(v3))), max(max(abs(v4), abs(v5)), max(abs(v6), abs(v7))));
      let most = max(max(most4.x, most4.y), max(most4.z, most4.w));
      // Zeros stay zeros with any scale.
      let steps = 127.0f / max(most, 1e-30f);
{% for i in range(4) %}
      let q{{ i }} = pack(v{{ 2 * i }} * steps, v{{ 2 * i + 1 }} * steps);
{% endfor %}
      let a = vec4<u32>(q0, q1);
      let b = vec4<u32>(q2, q3);
      x_tile[staged] = a;
      x_tile[staged + {{ ROWS }}u] = b;
      x_scale[staged] = most / 127.0f;
      let offsets = vec4<u32>({{ "0x07070707u" if q4 else "0xffffffffu" }});
      x_offset[staged] = dot16(a, offsets) + dot16(b, offsets);
    } else {
{% for p in matrices %}
{% if glu %}
      if ({{ "staged < 32u" if loop.first else "staged >= 32u" }}) {
{% else %}
      {
{% endif %}
        let at = (row_staged + g) * {{ GROUP_WORDS }}u;
        w_tile[staged] = {{ p }}bytes(at);
        w_tile[staged + 64u] = {{ p }}bytes(at + {{ GROUP_WORDS // 2 }}u);
        w_scale[staged] = {{ p }}scale(row_staged + g);
      }
{% endfor %}
    }
    workgroupBarrier();
{% for j in range(4) %}
    let a{{ j }} = w_tile[local.x + {{ 16 * j }}u];
    let b{{ j }} = w_tile[local.x + {{ 16 * j + 64 }}u];
{% endfor %}
    let scales = vec4<f32>({% for j in range(4) %}w_scale[local.x + {{ 16 * j }}u]{{ ", " if not loop.last }}{% endfor %});
{% for t in range(ROWS // 8) %}
    {
      let t = local.y + {{ 8 * t }}u;
      let a = x_tile[t];
      let b = x_tile[t + {{ ROWS }}u];
      let products = vec4<i32>({% for j in range(4) %}dot16(a, a{{ j }}) + dot16(b, b{{ j }}){{ ", " if not loop.last }}{% endfor %});
      sum{{ t }} += vec4<f32>(products - x_offset[t]) * (scales * x_scale[t]);
    }
{% endfor %}
    workgroupBarrier();
  }

{% if norm %}
  if (tid < 64u) {
    x_scale[tid] = inverseSqrt(square / {{ K | float | f32 }} + {{ eps | f32 }});
  }
  workgroupBarrier();
{% endif %}
{% set rstd = "x_scale[t_tile]" %}
{% include "gemm_write.wgsl" %}
}
