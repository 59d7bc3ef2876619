// The work of gemv_cpu.wgsl for one row of x and packed weights, where invocations can exchange values.
//
// A barrier makes the compiler of a software adapter keep every variable in memory and compile all several times: so there are
// neither barriers nor workgroup memory. Four invocations are a team, whose parts of x are in registers while the team goes
// through its matrix rows; their sums meet by shuffles. As subgroups have at least 4 invocations, no team is cut.
// Grid: x·z = blocks of {{ ROWS }} matrix rows n, which the workgroup's {{ TEAMS }} teams take in turn; y = output row t.
{% if norm %}
// RMSNorm: rstd is one scalar, so Σx² is summed while x is read and applied at the end.
{% endif %}
{% from "teams.wgsl" import team_sum %}
{% include "linear.wgsl" %}

{% if q4 %}
// A masked nibble stays where it is in its word: x is divided by what that multiplies it by. The eighth nibble is shifted,
// as the sign bit is in the way.
const even_steps = vec4<f32>(1.0f, 0.0625f, 0.00390625f, 0.000244140625f);
const odd_steps = vec4<f32>(0.0000152587890625f, 9.5367431640625e-7f, 5.9604644775390625e-8f, 1.0f);

{% else %}
// A masked byte stays where it is in its word: x is divided by what that multiplies it by. The fourth is shifted, as the
// sign bit is in the way.
const places = vec4<f32>(1.0f, 0.00390625f, 0.0000152587890625f, 1.0f);

{% endif %}
{{ team_sum() }}
{# Element k of a chunk, as f32, times what its place multiplies it by. #}
{% macro step(k) %}
{% if q4 %}
{% set word = "words." ~ "xyzw"[k // 8] %}
f32(i32({{ "%s & %du" % (word, 15 * 16 ** (k % 8)) if k % 8 < 7 else "%s >> 28u" % word }}))
{%- else %}
{% set word = "words%d.%s" % (k // 16, "xyzw"[k // 4 % 4]) %}
f32(i32({{ "%s & %du" % (word, 255 * 256 ** (k % 4)) if k % 4 < 3 else "%s >> 24u" % word }}))
{%- endif %}
{% endmacro %}
{# Vector j of those at `at` in x goes to v[`to`]. #}
{% macro read(at, to, inside) %}
      let raw = x[source + {{ at }}]{{ " * select(0.0f, 1.0f, %s)" % inside if inside }};
{% if norm %}
      square += dot(raw, raw);
{% endif %}
      let whole = raw{{ " * gamma[%s]" % at if norm }};
      total += whole;
      v[{{ to }}] = whole * {{ "select(even_steps, odd_steps, j % 2u == 1u)" if q4 else "places" }};
{%- endmacro %}
{% set COUNT = RUN + (1 if HALF else 0) %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % 4u;
  let team = tid / 4u;
  let count = {{ "params.row_count" if split else "%du" % N }};
  let block = (group.z * {{ GRID_X }}u + group.x) * {{ ROWS }}u;
  // Alike in all teams, as shuffles need: at the end, teams repeat the last row.
  let turns = (min({{ ROWS }}u, count - min(block, count)) + {{ TEAMS - 1 }}u) / {{ TEAMS }}u;
  let source = {{ "u32(rows[group.y])" if gather else "group.y" }} * {{ CHUNKS * 8 }}u;
  // Only the compiler does not know that this is 1: so it leaves loops as they are, and is quick.
  let once = min(1u, arrayLength(&x));
  var v: array<vec4<f32>, {{ 8 * RUN + (4 if HALF else 0) }}>;
  var offset: array<f32, {{ COUNT }}>;
{% if norm %}
  var square = 0.0f;
{% endif %}
{% if PIECES > 1 %}
{% for p in matrices %}
  var {{ p }}sums: array<f32, {{ TEAM_ROWS }}>;
{% endfor %}
{% elif glu %}
  var sums: array<f32, {{ TEAM_ROWS }}>;
{% endif %}
{% if PIECES > 1 %}

  for (var piece = 0u; piece < {{ PIECES }}u; piece++) {
  let begin = (piece * 4u + lane) * {{ RUN }}u;
{% else %}

  let begin = lane * {{ RUN }}u;
{% endif %}
  // x of the lane's chunks{{ "; past the end of a row they read the last chunk, times zero" if RAGGED }}.
  for (var i = 0u; i < {{ RUN }}u * once; i++) {
    let chunk = begin + i;
    var total = vec4<f32>();
    for (var j = 0u; j < 8u * once; j++) {
      let at = {{ "min(chunk, %du)" % (CHUNKS - 1) if RAGGED else "chunk" }} * 8u + j;
{{ read("at", "i * 8u + j", "chunk < %du" % CHUNKS if RAGGED) }}
    }
    offset[i] = {{ OFFSET | float | f32 }} * dot(total, vec4<f32>(1.0f));
  }
{% if HALF %}
  // And half of a chunk that two lanes share.
  let split_chunk = {{ 4 * RUN }}u + lane / 2u;
  {
    var total = vec4<f32>();
    for (var j = 0u; j < 4u * once; j++) {
      let at = split_chunk * 8u + lane % 2u * 4u + j;
{{ read("at", "%du + j" % (8 * RUN), "") }}
    }
    offset[{{ RUN }}] = {{ OFFSET | float | f32 }} * dot(total, vec4<f32>(1.0f));
  }
{% endif %}
{% for i in range(RUN) if RAGGED %}
  let c{{ i }} = min(begin + {{ i }}u, {{ CHUNKS - 1 }}u) - begin;
{% endfor %}
{% if norm and PIECES == 1 %}
  let rstd = inverseSqrt(team_sum(square) / {{ K | float | f32 }} + {{ eps | f32 }});
{% endif %}

{% for p in matrices %}
  for (var turn = 0u; turn < turns; turn++) {
    let row = min(block + turn * {{ TEAMS }}u + team, count - 1u);
    let first = row * {{ CHUNKS }}u;
    let chunk = first + begin;
    var {{ p }}sum = 0.0f;
{% for i in range(COUNT) %}
{% set half = i == RUN %}
{% set at = ("first + split_chunk") if half else "chunk + " ~ ("c%d" % i if RAGGED else "%du" % i) %}
{% if half or i % SCALES == 0 %}
    let {{ p }}s{{ i }} = {{ p }}scale{{ "s" if SCALES > 1 }}({{ at }}){{ "[lane / 2u %% %du]" % SCALES if half and SCALES > 1 }};
{% endif %}
    {
{% if not half and q4 %}
      let words = {{ p }}q_weight[{{ at }}];
{% elif half and q4 %}
      let pair = lane % 2u * 2u;
      let words = vec2<u32>({{ p }}q_weight[{{ at }}][pair], {{ p }}q_weight[{{ at }}][pair + 1u]);
{% elif half %}
      let words0 = {{ p }}q_weight[({{ at }}) * 2u + lane % 2u];
{% else %}
      let words0 = {{ p }}q_weight[({{ at }}) * 2u];
      let words1 = {{ p }}q_weight[({{ at }}) * 2u + 1u];
{% endif %}
      var a = vec4<f32>(-offset[{{ i }}], 0.0f, 0.0f, 0.0f);
{% for k in range(16 if half else 32) %}
      a.{{ "xyzw"[k // 8] }} += {{ step(k) | trim }} * v[{{ i * 8 + k // 4 }}].{{ "xyzw"[k % 4] }};
{% endfor %}
      {{ p }}sum += {{ p }}s{{ i if half else i // SCALES * SCALES }}{{ "." ~ "xyzw"[i % SCALES] if SCALES > 1 and not half }} * (a.x + a.y{{ " + a.z + a.w" if not half }});
    }
{% endfor %}
{% if PIECES > 1 %}
    {{ p }}sums[turn] += {{ p }}sum;
  }
{% elif not loop.last %}
    sums[turn] = sum;
  }
{% elif glu %}
    let sum = sums[turn];
{% endif %}
{% endfor %}
{% if PIECES > 1 %}
  }
{% if norm %}
  let rstd = inverseSqrt(team_sum(square) / {{ K | float | f32 }} + {{ eps | f32 }});
{% endif %}
  for (var turn = 0u; turn < turns; turn++) {
    let row = min(block + turn * {{ TEAMS }}u + team, count - 1u);
{% for p in matrices %}
    let {{ p }}sum = {{ p }}sums[turn];
{% endfor %}
{% endif %}
    let n = row{{ " + params.row_begin" if split }};
{% for p in matrices %}
    let {{ p }}value = team_sum({{ p }}sum){{ " * rstd" if norm }}{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
    if (lane == 0u) {
      let out = group.y * {{ N }}u + n;
      y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
    }
  }
}
