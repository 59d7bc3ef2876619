// gemv: y[t, n] = rstd_t · Σ_k (x∘γ)[t, k] · W[n, k], with bias, residual and SiLU(gate)·up in the epilogue.
// Grid: x·z = blocks of {{ ROWS }} output columns n, y = {{ "%d output rows t" % COLUMNS if COLUMNS > 1 else "output row t" }}. A workgroup is {{ TEAMS }} teams of {{ LANES }} lanes; a team takes
// {{ TEAM_ROWS }} columns. In each step all stage x∘γ of {{ TILE }} {{ "vectors" if wide else "elements" }} in workgroup memory, and each lane multiplies {{ LOADS }} of its
// team's loads of each row; then the lanes' sums meet and the first lanes of each team write y.
{% if norm %}
// RMSNorm: rstd is one scalar per row, so Σx² is summed while x is staged and applied at the end.
{% endif %}
{% include "linear.wgsl" %}

{% if q4 %}
// Four weights of half a word, times 1, 16, 256 and 4096. A nibble in the mantissa of 2^23 is 2^23 + nibble · 16^i:
// subtracting that with the offset of 7 is exact, and cheaper on GPUs than a conversion.
fn weights(half_word: u32) -> vec4<f32> {
  let bits = (vec4<u32>(half_word) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bits) - vec4<f32>(8388615.0f, 8388720.0f, 8390400.0f, 8417280.0f);
}

{% elif grouped %}
// Four weights of a word, times 1, 256, 1 and 256. A byte in the mantissa of 2^23 is 2^23 + byte · 256^i: subtracting that
// with the offset of 127 is exact, and cheaper on GPUs than a conversion.
fn weights(word: u32) -> vec4<f32> {
  let bits = (vec4<u32>(vec2<u32>(word), vec2<u32>(word >> 16u)) & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
  return bitcast<vec4<f32>>(bits) - vec4<f32>(8388735.0f, 8421120.0f, 8388735.0f, 8421120.0f);
}

{% endif %}
{% set places = ["1.0f", "0.0625f", "0.00390625f", "0.000244140625f"] if q4 else ["1.0f", "0.00390625f", "1.0f", "0.00390625f"] %}
{# Staged x: vector v of a lane's load at v · STRIDE + lane, an odd stride for packed weights, so that neither writing nor reading it conflicts. #}
var<workgroup> staged: array<{{ value }}, {{ COLUMNS * STAGED }}>;
var<workgroup> partial: array<vec4<f32>, {{ THREADS }}>;
{% if not subgroups and LANES > 8 %}
var<workgroup> heads: array<vec4<f32>, {{ TEAMS * 8 }}>;
{% endif %}
{% if norm %}
var<workgroup> shares: array<f32, {{ TEAMS }}>;
{% endif %}

{# Sums lie in vectors of four: of a column those of all rows, then of the next column; or of two rows, when those of gate
   and up meet in one. #}
{% set SUMS = [COLUMNS * TEAM_ROWS // 4, 1] | max %}
{% set both = TEAM_ROWS == 2 and not many %}
{% set rows_type = "vec2<f32>" if both else "vec4<f32>" %}
{% set size = ", subgroup: u32" if subgroups else "" %}
// The sum over the lanes of a team, in each of them.
fn team_sum(tid: u32{{ size }}, value: vec4<f32>) -> vec4<f32> {
  let team = tid / {{ LANES }}u;
{% if subgroups %}
  // Subgroups are powers of two, of any size, and hold consecutive invocations of a workgroup of one dimension: WGSL leaves
  // that open, but every implementation does it. One that holds whole teams needs no memory and no barrier.
  var sum = value;
  if (subgroup >= {{ LANES }}u) {
    for (var mask = {{ LANES // 2 }}u; mask > 0u; mask >>= 1u) {
      sum += subgroupShuffleXor(sum, mask);
    }
    return sum;
  }
  sum = subgroupAdd(value);
  workgroupBarrier();
  if (tid % subgroup == 0u) {
    partial[tid / subgroup] = sum;
  }
  workgroupBarrier();
  let count = {{ LANES }}u / subgroup;
  sum = partial[team * count];
  for (var i = 1u; i < count; i++) {
    sum += partial[team * count + i];
  }
  return sum;
{% elif LANES > 8 %}
  // Two steps, {{ LANES // 8 }} then 8 lanes: fewer barriers than a tree.
  let lane = tid % {{ LANES }}u;
  partial[tid] = value;
  workgroupBarrier();
  if (lane < 8u) {
    var sum = value;
    for (var i = 8u; i < {{ LANES }}u; i += 8u) {
      sum += partial[tid + i];
    }
    heads[team * 8u + lane] = sum;
  }
  workgroupBarrier();
  var total = heads[team * 8u];
  for (var i = 1u; i < 8u; i++) {
    total += heads[team * 8u + i];
  }
  return total;
{% else %}
  workgroupBarrier();
  partial[tid] = value;
  workgroupBarrier();
  var total = partial[team * {{ LANES }}u];
  for (var i = 1u; i < {{ LANES }}u; i++) {
    total += partial[team * {{ LANES }}u + i];
  }
  return total;
{% endif %}
}

{% set several = many or SUMS > 1 %}
{% if several %}
// What the lane of the team holds whose number differs in one bit.
fn across(tid: u32{{ size }}, value: vec4<f32>, bit: u32) -> vec4<f32> {
{% if subgroups %}
  if (subgroup > bit) {
    return subgroupShuffleXor(value, bit);
  }
{% endif %}
  workgroupBarrier();
  partial[tid] = value;
  workgroupBarrier();
  return partial[tid ^ bit];
}

{% endif %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32{{ ",\n        @builtin(subgroup_size) subgroup: u32" if subgroups }}) {
{% set sum = "team_sum(tid, subgroup, " if subgroups else "team_sum(tid, " %}
{% set across = "across(tid, subgroup, " if subgroups else "across(tid, " %}
  let lane = tid % {{ LANES }}u;
  let team = tid / {{ LANES }}u;
  let count = {{ "params.row_count" if split else "%du" % N }};
  let first = (group.z * {{ GRID_X }}u + group.x) * {{ ROWS }}u + team * {{ TEAM_ROWS }}u;
{% for r in range(TEAM_ROWS) %}
  let row{{ r }} = min(first + {{ r }}u, count - 1u) * {{ CHUNKS }}u;
{% endfor %}
{% for p in matrices %}
{% for j in range(SUMS) %}
  var {{ p }}sum{{ j }} = {{ rows_type }}();
{% endfor %}
{% endfor %}
  // What this invocation stages: vectors of {{ "one row of x; some teams have none" if COLUMNS * SHARE < TEAMS else "one row of x" }}.
  let column = {{ "team / %du" % SHARE if many else "0u" }};
  let sharer = {{ "tid %% %du" % (SHARE * LANES) if many else "tid" }};
  let t = {{ "min(group.y * %du + column, params.rows - 1u)" % COLUMNS if many else "group.y" }};
  let source = {{ "u32(rows[t])" if gather else "t" }} * {{ VECTORS }}u;
  let staged_end = {{ "select(0u, %du, column < %du)" % (TILE, COLUMNS) if COLUMNS * SHARE < TEAMS else "%du" % TILE }};
{% if norm %}
  var square = 0.0f;
{% endif %}

{% if STEPS > 1 %}
  for (var step = 0u; step < {{ STEPS }}u; step++) {
{% else %}
  const step = 0u;
{% endif %}
{# Weights are asked for before x is waited for. Lanes past the end read the last load, times zero. #}
{% for u in range(LOADS) %}
  let c{{ u }} = {{ "min(" if RAGGED }}(step * {{ LOADS }}u + {{ u }}u) * {{ LANES }}u + lane{{ ", %du)" % (CHUNKS - 1) if RAGGED }};
{% for p in matrices %}
{% for r in range(TEAM_ROWS) %}
{% if grouped %}
  let {{ p }}words{{ r }} = {{ p }}q_weight[row{{ r }} + c{{ u }}];
  let {{ p }}s{{ r }} = {{ p }}scale({{ "row%d + c%d" % (r, u) if GROUP_WORDS == 4 else "(row%d + c%d) / %du" % (r, u, GROUP_WORDS // 4) }});
{% else %}
  let {{ p }}w{{ r }}_{{ u }} = {{ p }}element(row{{ r }} + c{{ u }});
{% endif %}
{% endfor %}
{% endfor %}
{% endfor %}
{# Compilers keep a loop that begins where they don't know, and put its loads before the weights' or after: so its turns are
   written out where all lanes take as many, and everything is asked for before anything is waited for. #}
{% set each = TILE // (SHARE * LANES) %}
{% if each * SHARE * LANES == TILE and COLUMNS * SHARE >= TEAMS %}
{% for i in range(each) %}
  let e{{ i }} = sharer + {{ i * SHARE * LANES }}u;
{% if RAGGED %}
  let k{{ i }} = step * {{ TILE }}u + e{{ i }};
  let at{{ i }} = min(k{{ i }}, {{ VECTORS - 1 }}u);
  let raw{{ i }} = select({{ value }}(), x[source + at{{ i }}], k{{ i }} == at{{ i }});
{% else %}
  let at{{ i }} = step * {{ TILE }}u + e{{ i }};
  let raw{{ i }} = x[source + at{{ i }}];
{% endif %}
{% if norm %}
  let by{{ i }} = gamma[at{{ i }}];
{% endif %}
{% endfor %}
{% if STEPS > 1 %}
  workgroupBarrier();
{% endif %}
{% for i in range(each) %}
{% if norm %}
  square += {{ "dot(raw%d, raw%d)" % (i, i) if wide else "raw%d * raw%d" % (i, i) }};
{% endif %}
  staged[column * {{ STAGED }}u + {{ "(e%d %% %du) * %du + e%d / %du" % (i, LOAD_VECTORS, STRIDE, i, LOAD_VECTORS) if grouped else "e%d" % i }}] = raw{{ i }}
      {{- " * by%d" % i if norm }}{{ " * vec4<f32>(%s)" % (places | join(", ")) if grouped }};
{% endfor %}
{% else %}
{% if STEPS > 1 %}
  workgroupBarrier();
{% endif %}
  for (var e = sharer; e < staged_end; e += {{ SHARE * LANES }}u) {
{% if RAGGED %}
    let k = step * {{ TILE }}u + e;
    let at = min(k, {{ VECTORS - 1 }}u);
    let raw = select({{ value }}(), x[source + at], k == at);
{% else %}
    let at = step * {{ TILE }}u + e;
    let raw = x[source + at];
{% endif %}
{% if norm %}
    square += {{ "dot(raw, raw)" if wide else "raw * raw" }};
{% endif %}
    staged[column * {{ STAGED }}u + {{ "(e %% %du) * %du + e / %du" % (LOAD_VECTORS, STRIDE, LOAD_VECTORS) if grouped else "e" }}] = raw
      {{- " * gamma[at]" if norm }}{{ " * vec4<f32>(%s)" % (places | join(", ")) if grouped }};
  }
{% endif %}
  workgroupBarrier();
{# v: vector of x, r: row, j: column, g: four rows. With many columns a loop over v: unrolled, its text is long to compile. #}
{% set rolled = many and grouped %}
{# A group's products are added up and scaled once; where these are so many sums more that few subgroups would find
   registers, weights are scaled instead. #}
{% set scaled = rolled and COLUMNS * TEAM_ROWS * (matrices | length) >= 32 %}
{% set total = "product" if grouped and not scaled else "sum" %}
{% if total == "product" %}
{% for p in matrices %}
{% for j in range(SUMS) %}
  var {{ p }}product{{ j }} = {{ rows_type }}();
{% endfor %}
{% endfor %}
{% endif %}
{% for v in (["v"] if rolled else range(LOAD_VECTORS * LOADS)) %}
  {{ "for (var v = 0u; v < %du; v++) {" % LOAD_VECTORS if rolled else "{" }}
{% for j in range(COLUMNS) %}
    let x{{ j }} = staged[{{ "%du + v * %du" % (j * STAGED, STRIDE) if rolled else "%du" % (j * STAGED + v * (STRIDE if grouped else LANES)) }} + lane];
{% endfor %}
{% for p in matrices %}
{% for r in range(TEAM_ROWS) %}
{% if rolled %}
    let {{ p }}w{{ r }} = weights({{ p }}words{{ r }}{{ "[v / 2u] >> (v % 2u * 16u)" if q4 else "[v]" }}){{ " * %ss%d" % (p, r) if scaled }};
{% elif grouped %}
    let {{ p }}w{{ r }} = weights({{ p }}words{{ r }}.{{ "xyzw"[v // (SHIFTS | length)] }}{{ SHIFTS[v % (SHIFTS | length)] }});
{% endif %}
{% for j in range(COLUMNS) %}
{% set w = "%sw%d" % (p, r) if grouped else "%sw%d_%d" % (p, r, v) %}
    {{ p }}{{ total }}{{ (j * TEAM_ROWS + r) // 4 }}.{{ "xyzw"[(j * TEAM_ROWS + r) % 4] }} += {{ ("dot(%s, x%d)" if wide else "%s * x%d") % (w, j) }};
{% endfor %}
{% endfor %}
{% endfor %}
  }
{% endfor %}
{% if total == "product" %}
{% for p in matrices %}
{% for j in range(SUMS) %}
  {{ p }}sum{{ j }} += {{ p }}product{{ j }} * {{ rows_type }}({% for e in range(2 if both else 4) %}{{ p }}s{{ (4 * j + e) % TEAM_ROWS }}{{ ", " if not loop.last }}{% endfor %});
{% endfor %}
{% endfor %}
{% endif %}
{% if STEPS > 1 %}
  }
{% endif %}

{% if norm %}
  let share = {{ sum }}vec4<f32>(square)).x;
  if (lane == 0u) {
    shares[team] = share;
  }
  workgroupBarrier();
{% endif %}
{# Sums of which another lane writes y are given away: in each step half of them, then whole sums are exchanged. A loop over
   an array of them would keep it in memory, where it is slow. #}
{% set spread = namespace(left=SUMS, bit=1) %}
{% for _ in range(7) if several and spread.bit < LANES %}
{% set bit = spread.bit %}
{% if spread.left % 2 == 0 %}
{% set spread.left = spread.left // 2 %}
  let odd{{ bit }} = (lane & {{ bit }}u) != 0u;
{% for p in matrices %}
{% for j in range(spread.left) %}
{% set even, odd = "%ssum%d" % (p, 2 * j), "%ssum%d" % (p, 2 * j + 1) %}
  {{ p }}sum{{ j }} = select({{ even }}, {{ odd }}, odd{{ bit }}) + {{ across }}select({{ odd }}, {{ even }}, odd{{ bit }}), {{ bit }}u);
{% endfor %}
{% endfor %}
{% else %}
{% for p in matrices %}
{% for j in range(spread.left) %}
  {{ p }}sum{{ j }} += {{ across }}{{ p }}sum{{ j }}, {{ bit }}u);
{% endfor %}
{% endfor %}
{% endif %}
{% set spread.bit = 2 * bit %}
{% endfor %}
{% set apart = SUMS // spread.left %}
{% for j in range(spread.left) %}
{% if several %}
  // Elements of the vector that this lane holds now, and {{ LANES // apart - 1 }} others too.
  for (var r = lane / {{ apart }}u; r < 4u; r += {{ LANES // apart }}u) {
  let element = 4u * ({{ "%du + " % (j * apart) if j }}lane % {{ apart }}u) + r;
  let output_column = element / {{ TEAM_ROWS }}u;
  let row = first + element % {{ TEAM_ROWS }}u;
{% else %}
  const output_column = 0u;
  let row = first + lane;
{% endif %}
{% for p in ([""] if both else matrices) %}
  {{ "var" if norm else "let" }} {{ p }}total = {{ "%ssum%d[r]" % (p, j) if several else sum ~ ("vec4<f32>(sum0, up_sum0))" if both else "%ssum0)" % p) }};
{% endfor %}
{% if norm %}
  var squares = shares[output_column * {{ SHARE }}u];
  for (var j = 1u; j < {{ SHARE }}u; j++) {
    squares += shares[output_column * {{ SHARE }}u + j];
  }
  let rstd = inverseSqrt(squares / {{ K | float | f32 }} + {{ eps | f32 }});
{% for p in ([""] if both else matrices) %}
  {{ p }}total *= rstd;
{% endfor %}
{% endif %}
  let output_row = group.y * {{ COLUMNS }}u + output_column;
  if ({{ "row < count && output_row < params.rows" if several else "lane < %du && row < count" % ([TEAM_ROWS, 4] | min) }}) {
    let n = row{{ " + params.row_begin" if split }};
    let out = output_row * {{ N }}u + n;
{% for p in matrices %}
    let {{ p }}value = {{ "%stotal" % p if several else "total[lane + 2u]" if both and p else "%stotal[lane]" % p }}{{ (" + " ~ p ~ "bias[n]") if bias }};
{% endfor %}
    y[out] = {{ "silu(value) * up_value" if glu else "value" }}{{ " + residual[out]" if residual }};
  }
{% if several %}
  }
{% endif %}
{% endfor %}
}
