// gemv_cpu: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], with bias, residual and SiLU(gate)·up in the epilogue, for
// software adapters. There a load costs a scalar load per lane, whatever its address: so each invocation keeps its part of
// x in registers and only weights are loaded in the loop over rows.
// Grid: x·z = blocks of {{ ROWS }} output columns n, y = {{ "%d output rows t" % COLUMNS if COLUMNS > 1 else "output row t" }}. Teams of {{ LANES }} invocations take {{ TEAM_ROWS }} columns each; an invocation
// sums {{ RUN }} chunks of K of each; the parts meet in workgroup memory, and one invocation adds them up and writes y.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is read and applied at the end.
{% endif %}
{% include "linear.wgsl" %}

{% if q4 %}
// A masked nibble stays where it is in its word: x is divided by what that multiplies it by. The eighth nibble is shifted,
// as the sign bit is in the way.
const even_steps = vec4<f32>(1.0f, 0.0625f, 0.00390625f, 0.000244140625f);
const odd_steps = vec4<f32>(0.0000152587890625f, 9.5367431640625e-7f, 5.9604644775390625e-8f, 1.0f);

{% elif grouped %}
// A masked byte stays where it is in its word: x is divided by what that multiplies it by. The fourth is shifted, as the
// sign bit is in the way.
const places = vec4<f32>(1.0f, 0.00390625f, 0.0000152587890625f, 1.0f);

{% endif %}
{# Vectors of x in a chunk. #}
{% set VALUES = 8 if grouped else 1 %}
{% for p in matrices %}
var<workgroup> {{ p }}parts: array<f32, {{ COLUMNS * ROWS * LANES }}>;
{% endfor %}
{% if STAGED %}
// x∘γ, for all teams.
var<workgroup> staged: array<{{ value }}, {{ COLUMNS * CHUNKS * VALUES }}>;
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
  var v: array<{{ value }}, {{ COLUMNS * RUN * VALUES }}>;
{% if grouped %}
  var offset: array<f32, {{ COLUMNS * RUN }}>;
{% endif %}
{% if norm %}
  var square: array<f32, {{ COLUMNS }}>;
{% endif %}

{% set t = "min(group.y * %du + column, params.rows - 1u)" % COLUMNS if many else "group.y" %}
{% set source = ("u32(rows[%s])" % t if gather else t) ~ " * %du" % (CHUNKS * VALUES) %}
{% if not many %}
  // Not a constant, as lavapipe would unroll the loop, and take half a second to compile it.
  let lanes = min({{ LANES }}u, arrayLength(&x));

{% endif %}
{% if STAGED %}
  // By as many invocations as run at once.
  for (var column = 0u; column < {{ COLUMNS }}u; column++) {
    let source = {{ source }};
    for (var e = select({{ CHUNKS * VALUES }}u, tid, tid < {{ READERS }}u); e < {{ CHUNKS * VALUES }}u; e += {{ READERS }}u) {
      let raw = x[source + e];
{% if norm %}
      square[column] += {{ "dot(raw, raw)" if wide else "raw * raw" }};
{% endif %}
      staged[column * {{ CHUNKS * VALUES }}u + e] = raw{{ " * gamma[e]" if norm }};
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
    let at = {{ "min(chunk, %du)" % (CHUNKS - 1) if RAGGED else "chunk" }} * {{ VALUES }}u;
    let source = {{ "column * %du" % (CHUNKS * VALUES) if STAGED else source }} + at;
{% if grouped %}
    var total = {{ value }}();
{% endif %}
    for (var j = 0u; j < {{ VALUES }}u; j++) {
      let raw = {{ "staged" if STAGED else "x" }}[source + j]{{ " * select(0.0f, 1.0f, chunk < %du)" % CHUNKS if RAGGED }};
{% if norm and not STAGED %}
      square[column] += {{ "dot(raw, raw)" if wide else "raw * raw" }};
{% endif %}
      let whole = raw{{ " * gamma[at + j]" if norm and not STAGED }};
{% if grouped %}
      total += whole;
{% endif %}
      v[i * {{ VALUES }}u + j] = whole{{ " * select(even_steps, odd_steps, j % 2u == 1u)" if q4 else " * places" if grouped }};
    }
{% if grouped %}
    offset[i] = {{ OFFSET | float | f32 }} * dot(total, vec4<f32>(1.0f));
{% endif %}
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
{% if grouped and i % SCALES == 0 %}
    let {{ p }}s{{ i }} = {{ p }}scale{{ "s" if SCALES > 1 }}(chunk + {{ "c%d" % i if RAGGED else "%du" % i }});
{% endif %}
    {
{% if q4 %}
      let words = {{ p }}q_weight[chunk + {{ "c%d" % i if RAGGED else "%du" % i }}];
{% for j in range(COLUMNS) %}
      var a{{ j }} = {{ ("-offset[%d]" if many else "vec4<f32>(-offset[%d], 0.0f, 0.0f, 0.0f)") % (j * RUN + i) }};
{% endfor %}
{% for k in range(32) %}
{% set word = "words." ~ "xyzw"[k // 8] %}
{% set nibble = "%s & %du" % (word, 15 * 16 ** (k % 8)) if k % 8 < 7 else "%s >> 28u" % word %}
{% if COLUMNS > 1 %}
      let n{{ k }} = f32(i32({{ nibble }}));
{% endif %}
{% for j in range(COLUMNS) %}
      a{{ j }}{{ "." ~ "xyzw"[k // 8] if not many }} += {{ "n%d" % k if COLUMNS > 1 else "f32(i32(%s))" % nibble }} * v[{{ (j * RUN + i) * 8 + k // 4 }}].{{ "xyzw"[k % 4] }};
{% endfor %}
{% endfor %}
{% for j in range(COLUMNS) %}
      {{ p }}sum{{ j }} += {{ p }}s{{ i // SCALES * SCALES }}{{ "." ~ "xyzw"[i % SCALES] if SCALES > 1 }} * {{ "a%d" % j if many else "(a0.x + a0.y + a0.z + a0.w)" }};
{% endfor %}
{% elif grouped %}
{% for j in range(COLUMNS) %}
      var a{{ j }} = {{ ("-offset[%d]" if many else "vec4<f32>(-offset[%d], 0.0f, 0.0f, 0.0f)") % (j * RUN + i) }};
{% endfor %}
{% for w in range(GROUP_WORDS // 4) %}
      let words{{ w }} = {{ p }}q_weight[(chunk + {{ "c%d" % i if RAGGED else "%du" % i }}) * {{ GROUP_WORDS // 4 }}u + {{ w }}u];
{% endfor %}
{% for k in range(32) %}
{% set word = "words%d.%s" % (k // 16, "xyzw"[k // 4 % 4]) %}
      let n{{ k }} = f32(i32({{ "%s & %du" % (word, 255 * 256 ** (k % 4)) if k % 4 < 3 else "%s >> 24u" % word }}));
{% for j in range(COLUMNS) %}
      a{{ j }}{{ "." ~ "xyzw"[k // 8] if not many }} += n{{ k }} * v[{{ (j * RUN + i) * 8 + k // 4 }}].{{ "xyzw"[k % 4] }};
{% endfor %}
{% endfor %}
{% for j in range(COLUMNS) %}
      {{ p }}sum{{ j }} += {{ p }}s{{ i // SCALES * SCALES }}{{ "." ~ "xyzw"[i % SCALES] if SCALES > 1 }} * {{ "a%d" % j if many else "(a0.x + a0.y + a0.z + a0.w)" }};
{% endfor %}
{% else %}
      let w = {{ p }}element(chunk + {{ "c%d" % i if RAGGED else "%du" % i }});
{% for j in range(COLUMNS) %}
      {{ p }}sum{{ j }} += {{ ("dot(w, v[%d])" if wide else "w * v[%d]") % (j * RUN + i) }};
{% endfor %}
{% endif %}
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
