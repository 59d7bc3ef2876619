// gemv_cpu: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], of dense weights, with bias, residual and SiLU(gate)·up in the
// epilogue, for software adapters. There a load costs a scalar load per lane, whatever its address: so each invocation keeps
// its part of x in registers and only weights are loaded in the loop over rows.
// Grid: x·z = blocks of {{ ROWS }} output columns n, y = {{ "%d output rows t" % COLUMNS if COLUMNS > 1 else "output row t" }}. Teams of {{ LANES }} invocations take {{ TEAM_ROWS }} columns each; an invocation
// sums {{ RUN }} chunks of K of each; the parts meet in workgroup memory, and one invocation adds them up and writes y.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is read and applied at the end.
{% endif %}
{% include "linear.wgsl" %}

{% for p in matrices %}
var<workgroup> {{ p }}parts: array<f32, {{ COLUMNS * ROWS * LANES }}>;
{% endfor %}
{% if STAGED %}
// x∘γ, for all teams.
var<workgroup> staged: array<{{ value }}, {{ COLUMNS * CHUNKS }}>;
{% endif %}
{% if norm %}
var<workgroup> squares: array<f32, {{ COLUMNS * READERS }}>;
{% endif %}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % {{ LANES }}u;
  let team = tid / {{ LANES }}u;
  let count = {{ "params.row_count" if split else "%du" % N }};
  let block = (group.z * {{ GRID_X }}u + group.x) * {{ ROWS }}u;
  let first = min(block + team * {{ TEAM_ROWS }}u, count);
  let team_rows = min({{ TEAM_ROWS }}u, count - first);
  var v: array<{{ value }}, {{ COLUMNS * RUN }}>;
{% if norm %}
  var square: array<f32, {{ COLUMNS }}>;
{% endif %}

{% set t = "min(group.y * %du + column, params.rows - 1u)" % COLUMNS if many else "group.y" %}
{% set source = ("u32(rows[%s])" % t if gather else t) ~ " * %du" % (CHUNKS) %}
{% if not many %}
  // Not a constant, as lavapipe would unroll the loop, and take half a second to compile it.
  let lanes = min({{ LANES }}u, arrayLength(&x));

{% endif %}
{% if STAGED %}
  // By as many invocations as run at once.
  for (var column = 0u; column < {{ COLUMNS }}u; column++) {
    let source = {{ source }};
    for (var e = select({{ CHUNKS }}u, tid, tid < {{ READERS }}u); e < {{ CHUNKS }}u; e += {{ READERS }}u) {
      let raw = x[source + e];
{% if norm %}
      square[column] += {{ "dot(raw, raw)" if wide else "raw * raw" }};
{% endif %}
      staged[column * {{ CHUNKS }}u + e] = raw{{ " * gamma[e]" if norm }};
    }
  }
  workgroupBarrier();

{% endif %}
{% if PIECES > 1 %}
  for (var piece = 0u; piece < {{ PIECES }}u; piece++) {
  let begin = (piece * {{ LANES }}u + lane) * {{ RUN }}u;
{% else %}
  let begin = lane * {{ RUN }}u;
{% endif %}
  // x of the lane's chunks; past the end of a row they read the last chunk, times zero.
  for (var i = 0u; i < {{ COLUMNS * RUN }}u; i++) {
    let column = i / {{ RUN }}u;
    let chunk = begin + i % {{ RUN }}u;
    let at = {{ "min(chunk, %du)" % (CHUNKS - 1) if RAGGED else "chunk" }};
    let raw = {{ "staged[column * %du + at]" % CHUNKS if STAGED else "x[%s + at]" % source }}{{ " * select(0.0f, 1.0f, chunk < %du)" % CHUNKS if RAGGED }};
{% if norm and not STAGED %}
    square[column] += {{ "dot(raw, raw)" if wide else "raw * raw" }};
{% endif %}
    v[i] = raw{{ " * gamma[at]" if norm and not STAGED }};
  }
{% for i in range(RUN) if RAGGED %}
  let c{{ i }} = min(begin + {{ i }}u, {{ CHUNKS - 1 }}u) - begin;
{% endfor %}

{# One matrix after the other: together, their products are more code than a core keeps decoded. #}
{% for p in matrices %}
  {{ "var " if loop.first }}chunk = first * {{ CHUNKS }}u + begin;
  {{ "var " if loop.first }}part = team * {{ TEAM_ROWS * LANES }}u + lane;
  for (var left = team_rows; left > 0u; left--) {
{% for j in range(COLUMNS) %}
    var {{ p }}sum{{ j }} = 0.0f;
{% endfor %}
{% for i in range(RUN) %}
    {
      let w = {{ p }}element(chunk + {{ "c%d" % i if RAGGED else "%du" % i }});
{% for j in range(COLUMNS) %}
      {{ p }}sum{{ j }} += {{ ("dot(w, v[%d])" if wide else "w * v[%d]") % (j * RUN + i) }};
{% endfor %}
    }
{% endfor %}
{% for j in range(COLUMNS) %}
{% set at = "part%s" % (" + %du" % (j * ROWS * LANES) if j else "") %}
{% if PIECES > 1 %}
    if (piece > 0u) {
      {{ p }}sum{{ j }} += {{ p }}parts[{{ at }}];
    }
{% endif %}
    {{ p }}parts[{{ at }}] = {{ p }}sum{{ j }};
{% endfor %}
    chunk += {{ CHUNKS }}u;
    part += {{ LANES }}u;
  }
{% endfor %}
{% if PIECES > 1 %}
  }
{% endif %}
{% if norm %}
  if (tid < {{ READERS }}u) {
{% for j in range(COLUMNS) %}
    squares[{{ j * READERS }}u + tid] = square[{{ j }}];
{% endfor %}
  }
{% endif %}
  workgroupBarrier();

{% if many %}
  for (var column = 0u; column < {{ COLUMNS }}u && group.y * {{ COLUMNS }}u + column < params.rows; column++) {
  let t = group.y * {{ COLUMNS }}u + column;
{% else %}
  const column = 0u;
  let t = group.y;
{% endif %}
{% if norm %}
  var total = 0.0f;
  for (var i = 0u; i < {{ READERS }}u; i++) {
    total += squares[column * {{ READERS }}u + i];
  }
  let rstd = inverseSqrt(total / {{ K | float | f32 }} + {{ eps | f32 }});
{% endif %}
  for (var r = tid; r < {{ ROWS }}u && block + r < count; r += {{ THREADS }}u) {
    let n = block + r{{ " + params.row_begin" if split }};
    let begin = (column * {{ ROWS }}u + r) * {{ LANES }}u;
{% for p in matrices %}
    var {{ p }}value = 0.0f;
{% endfor %}
    for (var i = 0u; i < {{ "%du" % LANES if many else "lanes" }}; i++) {
{% for p in matrices %}
      {{ p }}value += {{ p }}parts[begin + i];
{% endfor %}
    }
{% for p in matrices if norm or bias %}
    {{ p }}value = {{ p }}value{{ " * rstd" if norm }}{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
    let out = t * {{ N }}u + n;
    y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
  }
{% if many %}
  }
{% endif %}
}
