// The work of gemv_cpu.wgsl for packed weights, where invocations can exchange values.
//
// A barrier makes the compiler of a software adapter keep every variable in memory and compile all several times: so there are
// neither barriers nor workgroup memory. Four invocations are a team, whose parts of x are in registers while the team goes
// through its matrix rows; their sums meet by shuffles. As subgroups have at least 4 invocations, no team is cut.
// Grid: x·z = blocks of {{ ROWS }} matrix rows n, which the workgroup's {{ TEAMS }} teams take in turn; y = {{ "%d output rows t" % COLUMNS if many else "output row t" }}.
{% if many %}
// Each weight is unpacked once for {{ COLUMNS }} rows of x, and what it adds to each is added in the same order as for one row.
{% endif %}
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is read and applied at the end.
{% endif %}
{% from "teams.wgsl" import team_sum, team_sums %}
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
{{ team_sums() if many else team_sum() }}
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
{# Vector j of chunk `chunk` of a row of x goes to v[`to`]. #}
{% macro read(chunk, skip, to, inside) %}
      let at = {{ "min(%s, %du)" % (chunk, CHUNKS - 1) if inside else chunk }} * 8u + {{ skip }}j;
      let raw = x[source + at]{{ " * select(0.0f, 1.0f, %s < %du)" % (chunk, CHUNKS) if inside }};
{% if norm %}
      square[{{ "column" if many else "0" }}] += dot(raw, raw);
{% endif %}
      let whole = raw{{ " * gamma[at]" if norm }};
      total += whole;
      v[{{ "column * %du + " % (8 * HELD) if many }}{{ to }}] = whole * {{ "select(even_steps, odd_steps, j % 2u == 1u)" if q4 else "places" }};
{%- endmacro %}
{# Lane m of a team gets the team's sums of rows m, 4 + m, … of x; of one row, all lanes do. #}
{% macro team_part(values, g) %}
{{ "team_sums(vec4<f32>(%s), lane)" % (([values] * 4) | join(", ")) % (4 * g, 4 * g + 1, 4 * g + 2, 4 * g + 3) if many else "team_sum(%s)" % (values % 0) }}
{%- endmacro %}
{% macro rstds() %}
{% for g in range(PARTS) %}
  let rstd{{ g }} = inverseSqrt({{ team_part("square[%d]", g) | trim }} / {{ K | float | f32 }} + {{ eps | f32 }});
{% endfor %}
{% endmacro %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % 4u;
  let team = tid / 4u;
  let count = {{ "params.row_count" if split else "%du" % N }};
  let block = (group.z * {{ GRID_X }}u + group.x) * {{ ROWS }}u;
  // Alike in all teams, as shuffles need: at the end, teams repeat the last row.
  let turns = (min({{ ROWS }}u, count - min(block, count)) + {{ TEAMS - 1 }}u) / {{ TEAMS }}u;
  // Only the compiler does not know that this is 1: so it leaves loops as they are, and is quick.
  let once = min(1u, arrayLength(&x));
  // Of x: vectors of the lane's chunks, row by row, and what the weights' offset adds.
  var v: array<vec4<f32>, {{ COLUMNS * 8 * HELD }}>;
  var offset: array<f32, {{ COLUMNS * HELD }}>;
{% if norm %}
  var square: array<f32, {{ COLUMNS }}>;
{% endif %}
{% set carried = PIECES | length > 1 or PIECES[0].repeat > 1 %}
{% for p in (matrices if carried else matrices[:-1]) %}
  var {{ p }}sums: array<f32, {{ TEAM_ROWS * PARTS }}>;
{% endfor %}

{% for piece in PIECES %}
{% set last = loop.last and piece.repeat == 1 %}
{% if piece.repeat > 1 %}
  for (var piece = 0u; piece < {{ piece.repeat }}u; piece++) {
  let base = {{ "%du + " % piece.begin if piece.begin }}piece * {{ 8 * piece.pairs }}u;
{% else %}
  {
  const base = {{ piece.begin }}u;
{% endif %}
{% if many %}
  for (var column = 0u; column < {{ COLUMNS }}u * once; column++) {
  let t = min(group.y * {{ COLUMNS }}u + column, params.rows - 1u);
{% endif %}
{% set t = "t" if many else "group.y" %}
  let source = {{ "u32(rows[%s])" % t if gather else t }} * {{ CHUNKS * 8 }}u;
{% set place = "column * %du + " % HELD if many else "" %}
{% if piece.pairs %}
  for (var i = 0u; i < {{ 2 * piece.pairs }}u * once; i++) {
    let chunk = base + i / 2u * 8u + lane * 2u + i % 2u;
    var total = vec4<f32>();
    for (var j = 0u; j < 8u * once; j++) {
{{ read("chunk", "", "i * 8u + j", false) }}
    }
    offset[{{ place }}i] = {{ OFFSET | float | f32 }} * dot(total, vec4<f32>(1.0f));
  }
{% endif %}
{% for kind, held, begin in piece.segments | sum(start=[]) if kind != "pair" %}
  {
    let chunk = base + {{ begin }}u + {{ "lane / 2u" if kind == "half" else "lane" }};
    var total = vec4<f32>();
    for (var j = 0u; j < {{ 4 if kind == "half" else 8 }}u * once; j++) {
{{ read("chunk", "lane % 2u * 4u + " if kind == "half" else "", "%du + j" % (8 * held), kind == "some") }}
    }
    offset[{{ place }}{{ held }}u] = {{ OFFSET | float | f32 }} * dot(total, vec4<f32>(1.0f));
  }
{% endfor %}
{% if many %}
  }
{% endif %}
{% if norm and last %}
{{ rstds() -}}
{% endif %}
{% for p in matrices %}

  for (var turn = 0u; turn < turns; turn++) {
    let row = min(block + turn * {{ TEAMS }}u + team, count - 1u);
    let first = row * {{ CHUNKS }}u + base;
{% for g in range(PARTS) %}
    var {{ p }}total{{ g }} = {{ "%ssums[turn * %du + %du]" % (p, PARTS, g) if carried else "0.0f" }};
{% endfor %}
{% for segment in piece.segments %}
    {
{% for j in range(COLUMNS) %}
      var sum{{ j }} = 0.0f;
{% endfor %}
{% for kind, i, begin in segment %}
{% set at = "first + %du + %s" % (begin, {"pair": "lane * 2u", "half": "lane / 2u"}.get(kind, "lane") ~ (" + 1u" if kind == "pair" and i % 2 else "")) %}
{% if kind == "some" %}
{% set at = "min(%s, row * %du + %du)" % (at, CHUNKS, CHUNKS - 1) %}
{% endif %}
      let at{{ i }} = {{ at }};
{% if SCALES == 1 %}
      let scale{{ i }} = {{ p }}scale(at{{ i }});
{% elif kind == "pair" and i % 2 == 0 %}
      let pair{{ i }} = {{ p }}scales(at{{ i }});
      let scale{{ i }} = pair{{ i }}.x;
      let scale{{ i + 1 }} = pair{{ i }}.y;
{% elif kind != "pair" %}
      let scale{{ i }} = {{ p }}scales(at{{ i }})[at{{ i }} % 2u];
{% endif %}
      {
{% set half = kind == "half" %}
{% if not half and q4 %}
        let words = {{ p }}q_weight[at{{ i }}];
{% elif half and q4 %}
        let side = lane % 2u * 2u;
        let words = vec2<u32>({{ p }}q_weight[at{{ i }}][side], {{ p }}q_weight[at{{ i }}][side + 1u]);
{% elif half %}
        let words0 = {{ p }}q_weight[at{{ i }} * 2u + lane % 2u];
{% else %}
        let words0 = {{ p }}q_weight[at{{ i }} * 2u];
        let words1 = {{ p }}q_weight[at{{ i }} * 2u + 1u];
{% endif %}
{% if many %}
        // Always: without a branch LLVM moves all sums behind all products, and stores these until then.
        if (once == 1u) {
{% endif %}
{# Quarter by quarter, so that few sums are open at once. #}
{% for q in range(2 if half else 4) %}
{% if many %}
{% for k in range(8 * q, 8 * q + 8) %}
        let n{{ k }} = {{ step(k) | trim }};
{% endfor %}
{% endif %}
{% for j in range(COLUMNS) %}
        var b{{ q }}_{{ j }} = {{ "-offset[%d]" % (j * HELD + i) if q == 0 else "0.0f" }};
{% for k in range(8 * q, 8 * q + 8) %}
        b{{ q }}_{{ j }} += {{ "n%d" % k if many else step(k) | trim }} * v[{{ (j * HELD + i) * 8 + k // 4 }}].{{ "xyzw"[k % 4] }};
{% endfor %}
        {{ "var a%d =" % j if q == 0 else "a%d +=" % j }} b{{ q }}_{{ j }};
{% endfor %}
{% endfor %}
{% for j in range(COLUMNS) %}
        sum{{ j }} += scale{{ i }} * a{{ j }};
{% endfor %}
{% if many %}
        }
{% endif %}
      }
{% endfor %}
{% for g in range(PARTS) %}
      {{ p }}total{{ g }} += {{ team_part("sum%d", g) | trim }};
{% endfor %}
    }
{% endfor %}
{% if not last or (glu and p == "") %}
{% for g in range(PARTS) %}
    {{ p }}sums[turn * {{ PARTS }}u + {{ g }}u] = {{ p }}total{{ g }};
{% endfor %}
  }
{% endif %}
{% endfor %}
{% if not last %}
  }
{% endif %}
{% endfor %}
{% set open = PIECES[-1].repeat == 1 %}
{% if not open %}
{% if norm %}
{{ rstds() -}}
{% endif %}

  for (var turn = 0u; turn < turns; turn++) {
    let row = min(block + turn * {{ TEAMS }}u + team, count - 1u);
{% endif %}
{% for p in matrices if not open or glu and p == "" %}
{% for g in range(PARTS) %}
    let {{ p }}total{{ g }} = {{ p }}sums[turn * {{ PARTS }}u + {{ g }}u];
{% endfor %}
{% endfor %}
    let n = row{{ " + params.row_begin" if split }};
{% for g in range(PARTS) %}
{% if many %}
    let t{{ g }} = group.y * {{ COLUMNS }}u + {{ 4 * g }}u + lane;
{% endif %}
    if ({{ "t%d < params.rows" % g if many else "lane == 0u" }}) {
{% for p in matrices %}
      let {{ p }}value = {{ p }}total{{ g }}{{ " * rstd%d" % g if norm }}{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
      let out = {{ "t%d" % g if many else "group.y" }} * {{ N }}u + n;
      y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
    }
{% endfor %}
  }
{{ "  }
" if open -}}
}
