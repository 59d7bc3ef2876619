// The work of attention_decode.wgsl for software adapters, {{ "in pieces" if split else "whole" }}.
// Grid: x = {{ HEADS }} query head(s) of a KV head, which read its keys and values once; y = {{ "work: pieces one after another" if split else "sequence" }}.
//
// There a load costs by the number that each invocation loads, and a barrier makes the compiler keep every variable in
// memory and compile all several times: so there are neither barriers nor workgroup memory. Four invocations of a subgroup are
// a team; each owns every fourth chunk of {{ 4 * QPC }} columns in both halves of a head, of queries, keys, values and sums alike. A position
// is loaded once, by one team, which adds its score up. As subgroups have at least 4 invocations, no team is cut; where they have
// fewer than the workgroup's {{ THREADS }}, every subgroup does the same work.
{% from "turn.wgsl" import turn_functions %}
{% from "attention.wgsl" import page_row, keys, values, capped, quad, int8_words with context %}
{% from "teams.wgsl" import team_sum, team_sums %}
// Whether there is a second turn is the same for all lanes, as subgroupAny says it, which the uniformity analysis cannot know.
diagnostic(off, subgroup_uniformity);
{% include "bindings.wgsl" %}

{% set QUADS = D // 4 %}
{% set HALF = D // 8 %}
{% set OWN = 2 * OWN_CHUNKS * QPC %}
{% set GROUPS = (HEADS + 3) // 4 %}
{# For float pages. #}
{% macro keep(pages) %}
{% for half in ("low", "high") %}
{% set at = "place" ~ (" + %du" % (CHUNKS // 2) if half == "high") %}
{% if kv == "f16" %}
            {{ pages }}[{{ at }}][i % 2u * 2u] = {{ half }}_words.x;
            {{ pages }}[{{ at }}][i % 2u * 2u + 1u] = {{ half }}_words.y;
{% else %}
            {{ pages }}[{{ at }}] = {{ half }};
{% endif %}
{% endfor %}
{%- endmacro %}
{{ turn_functions("vec4<f32>", QUARTER_TURN) }}
{{ page_row() }}
{% if int8 %}
{{ int8_words() }}
{% endif %}
{{ capped("f32") }}
{{ team_sum() }}
{{ team_sums() }}
// First quad in qkv of head r of this workgroup: a query head, then the KV head's key and value. Heads past the group repeat its last.
fn source(row: u32, kv_head: u32, first: u32, r: u32) -> u32 {
  let query = min(first + r, (kv_head + 1u) * {{ GROUP }}u - 1u);
  let head = select(query, {{ H }}u + (r - {{ HEADS }}u) * {{ KV }}u + kv_head, r >= {{ HEADS }}u);
  return (row * {{ H + 2 * KV }}u + head) * {{ QUADS }}u;
}

{% if split %}
// Piece: row, first and end position, and the part that it leaves.
fn attend(x: u32, subgroup: u32, lane: u32, piece: vec4<u32>) {
  let row = piece.x;
{% else %}
fn attend(x: u32, subgroup: u32, lane: u32, row: u32) {
{% endif %}
  let kv_head = x / {{ PARTS }}u;
  let first_head = kv_head * {{ GROUP }}u + x % {{ PARTS }}u * {{ HEADS }}u;
  let position = min(u32(max(positions[row], 0)), params.max_pages * {{ PAGE }}u - 1u);
{% if split %}
  var begin = piece.y;
  let end = min(piece.z, position);
  let newest = piece.z > position;
{% else %}
  var begin = 0u;
  let end = position;
  let newest = true;
{% endif %}
{% if window %}
  begin = max(begin, max(position + 1u, {{ WINDOW }}u) - {{ WINDOW }}u);
{% endif %}
  let teams = min(subgroup / 4u, {{ THREADS // 4 }}u);
  let team = lane / 4u % teams;
  let member = lane % 4u;
  // Only the compiler does not know that this is 1: so it leaves loops as they are, and is quick.
  let once = params.chunks / {{ CHUNKS }}u;

  // The member's columns of the query heads, scaled; after them, if this has the newest position, of its key and value. First
  // those of a head's low half, then those of its high half.
  var heads: array<vec4<f32>, {{ (HEADS + 2) * OWN }}>;
  let sources = select({{ HEADS }}u, {{ HEADS + 2 }}u, newest) * once;
{% if qk_norm %}
  var rstd: array<f32, {{ HEADS + 2 }}>;
  for (var r = 0u; r < {{ HEADS + 1 }}u * once; r++) {
    let at = source(row, kv_head, first_head, r);
    var square = 0.0f;
    for (var c = member; c < {{ QUADS }}u; c += 4u) {
      square += dot(qkv[at + c], qkv[at + c]);
    }
    rstd[r] = inverseSqrt(team_sum(square) / {{ D | float | f32 }} + {{ eps | f32 }});
  }
{% endif %}
  let page = page_row(row, kv_head, position);
  for (var i = 0u; i < {{ OWN // 2 }}u * once; i++) {
    let chunk = min(i / {{ QPC }}u * 4u + member, {{ CHUNKS // 2 - 1 }}u);
{% if RAGGED %}
    let inside = i / {{ QPC }}u * 4u + member < {{ CHUNKS // 2 }}u;
{% endif %}
    let c = chunk * {{ QPC }}u + i % {{ QPC }}u;
    let turn = turn_by(f32(position) * inv_freq[c]);
    for (var r = 0u; r < sources; r++) {
      let at = source(row, kv_head, first_head, r) + c;
      var low = qkv[at];
      var high = qkv[at + {{ HALF }}u];
      if (r <= {{ HEADS }}u) {
        let scale = select({{ SCALE | f32 }}, 1.0f, r == {{ HEADS }}u){{ " * rstd[r]" if qk_norm }};
{% if qk_norm %}
        low *= scale * select(q_gamma[c], k_gamma[c], r == {{ HEADS }}u);
        high *= scale * select(q_gamma[c + {{ HALF }}u], k_gamma[c + {{ HALF }}u], r == {{ HEADS }}u);
{% else %}
        low *= scale;
        high *= scale;
{% endif %}
        let turned = low * turn.cos - high * turn.sin;
        high = high * turn.cos + low * turn.sin;
        low = turned;
      }
      if (r >= {{ HEADS }}u) {
{% if kv == "f16" %}
        // What is kept is rounded, and the rest goes by it: without `once` compilers take the values before.
        let low_words = vec2<u32>(pack2x16float(low.xy), pack2x16float(low.zw)) * once;
        let high_words = vec2<u32>(pack2x16float(high.xy), pack2x16float(high.zw)) * once;
        low = vec4<f32>(unpack2x16float(low_words.x), unpack2x16float(low_words.y));
        high = vec4<f32>(unpack2x16float(high_words.x), unpack2x16float(high_words.y));
{% endif %}
{% if not int8 %}
        if (lane < 4u{{ " && inside" if RAGGED }}{{ " && x %% %du == 0u" % PARTS if PARTS > 1 }}) {
          let place = page + chunk;
          if (r == {{ HEADS }}u) {
{{ keep("kv_k") }}
          } else {
{{ keep("kv_v") }}
          }
        }
{% endif %}
      }
      heads[r * {{ OWN }}u + i] = low{{ " * select(0.0f, 1.0f, inside)" if RAGGED }};
      heads[r * {{ OWN }}u + i + {{ OWN // 2 }}u] = high{{ " * select(0.0f, 1.0f, inside)" if RAGGED }};
    }
  }
{% if int8 %}
  // Key and value are used as they are kept.
  var kept_scales: array<f32, 2>;
  for (var r = 0u; r < sources - {{ HEADS }}u * once; r++) {
    var most = 0.0f;
    for (var i = 0u; i < {{ OWN }}u * once; i++) {
      most = max(most, largest(heads[({{ HEADS }}u + r) * {{ OWN }}u + i]));
    }
    most = max(most, subgroupShuffleXor(most, 1u));
    most = max(most, subgroupShuffleXor(most, 2u));
    let inverse = 127.0f / max(most, 1.0e-30f);
    kept_scales[r] = most / 127.0f;
    for (var i = 0u; i < {{ OWN }}u * once; i++) {
      let word = int8_word(heads[({{ HEADS }}u + r) * {{ OWN }}u + i], inverse) * once;
      heads[({{ HEADS }}u + r) * {{ OWN }}u + i] = steps(word) * kept_scales[r];
      let chunk = i % {{ OWN // 2 }}u / {{ QPC }}u * 4u + member;
      if (lane < 4u{{ " && chunk < %du" % (CHUNKS // 2) if RAGGED }}{{ " && x %% %du == 0u" % PARTS if PARTS > 1 }}) {
        let place = chunk + i / {{ OWN // 2 }}u * {{ CHUNKS // 2 }}u;
        if (r == 0u) {
          kv_k[{{ keys("page") }} + place][i % {{ QPC }}u] = word;
        } else {
          kv_v[{{ values("page") }} + place][i % {{ QPC }}u] = word;
        }
      }
    }
  }
  if (newest && lane == 0u{{ " && x %% %du == 0u" % PARTS if PARTS > 1 }}) {
    kv_k[{{ keys("page") }} + {{ CHUNKS }}u] = vec2<u32>(bitcast<u32>(kept_scales[0]), bitcast<u32>(kept_scales[1]));
  }
{% endif %}
{% for k in range(OWN_CHUNKS) %}
  let column{{ k }} = {{ "min(member + %du, %du)" % (4 * k, CHUNKS // 2 - 1) if RAGGED else "member + %du" % (4 * k) }};
  let column{{ OWN_CHUNKS + k }} = column{{ k }} + {{ CHUNKS // 2 }}u;
{% endfor %}

  // Member m has what there is once for each head of heads m, m + 4, …
  let first_member = lane - member;
{% if PARTS * HEADS > GROUP %}
  let heads_left = (kv_head + 1u) * {{ GROUP }}u - first_head;
{% endif %}
{% for g in range(GROUPS) %}
  let own_head{{ g }} = {{ "min(member + %du, %du)" % (4 * g, HEADS - 1) }};
  // Weights are relative to `highest`: the newest position's score, or the first that is looked at.
  var highest{{ g }} = -3.0e38f;
  var newest_score{{ g }} = -3.0e38f;
  var top{{ g }} = -3.0e38f;
  var total{{ g }} = 0.0f;
{% endfor %}
{% for r in range(HEADS) %}
{% for i in range(OWN) %}
  var sum{{ r }}_{{ i }} = vec4<f32>();
{% endfor %}
{% endfor %}
  if (newest) {
{% for g in range(GROUPS) %}
    newest_score{{ g }} = capped(team_sums(vec4<f32>({% for j in range(4) %}{% set r = [4 * g + j, HEADS - 1] | min %}{% for i in range(OWN) %}{{ " + " if i }}dot(heads[{{ r * OWN + i }}], heads[{{ HEADS * OWN + i }}]){% endfor %}{{ ", " if not loop.last }}{% endfor %}), member));
    highest{{ g }} = newest_score{{ g }};
{% endfor %}
  }

  var touched = 0u;
  // Once, unless a score is so far above `highest` that weights may be too large: then again, relative to the top score.
  for (var turn = 0u; turn < 2u; turn++) {
{% for g in range(GROUPS) %}
    total{{ g }} = select(0.0f, exp(newest_score{{ g }} - highest{{ g }}), newest && team == 0u);
{% endfor %}
{% for r in range(HEADS) %}
    let newest_weight{{ r }} = subgroupShuffle(total{{ r // 4 }}, first_member + {{ r % 4 }}u);
{% for i in range(OWN) %}
    sum{{ r }}_{{ i }} = newest_weight{{ r }} * heads[{{ (HEADS + 1) * OWN + i }}];
{% endfor %}
{% endfor %}
    // A step is a position of each team, both in one page, which is looked up once. More positions, each with its loads, would make more
    // code than a processor keeps decoded.
    var first = page_row(row, kv_head, begin / {{ PAGE }}u * {{ PAGE }}u);
    for (var at = begin / {{ THREADS // 4 }}u * {{ THREADS // 4 }}u; at < end; at += teams) {
      if (at % {{ PAGE }}u < teams) {
        first = page_row(row, kv_head, at / {{ PAGE }}u * {{ PAGE }}u);
        // A page is not near the one before: touched a page ahead, it is at hand in time.
        let ahead = page_row(row, kv_head, min((at / {{ PAGE }}u + 1u) * {{ PAGE }}u, end - 1u)){{ " + lane * 4u %% %du" % (PAGE * CHUNKS) if not int8 }};
{% if int8 %}
        touched |= kv_k[{{ keys("ahead") }} + {{ "lane * 8u %% %du" % (PAGE * (CHUNKS + 1)) }}].x | kv_v[{{ values("ahead") }} + {{ "lane * 8u %% %du" % (PAGE * CHUNKS) }}].x;
{% else %}
        touched |= {{ "u32" if kv == "f16" else "bitcast<u32>" }}(kv_k[ahead].x) | {{ "u32" if kv == "f16" else "bitcast<u32>" }}(kv_v[ahead].x);
{% endif %}
      }
      let own = at + team;
      let seen = {{ "own >= begin && " if window or split }}own < end;
      let place = first + min(own, end - 1u) % {{ PAGE }}u{{ " * %du" % CHUNKS if not int8 }};
{% if int8 %}
      let scales = scales_of(place);
{% endif %}
{% for k in range(2 * OWN_CHUNKS) %}
      let k{{ k }} = kv_k[{{ keys("place") }} + column{{ k }}];
{% endfor %}
{% for r in range(HEADS) %}
      var product{{ r }} = 0.0f;
{% endfor %}
{% for i in range(OWN) %}
      let kq{{ i }} = {{ quad("k%d" % (i // QPC), i % QPC) }};
{% for r in range(HEADS) %}
      product{{ r }} += dot(heads[{{ r * OWN + i }}], kq{{ i }});
{% endfor %}
{% endfor %}
{% for g in range(GROUPS) %}
      let score{{ g }} = select(-3.0e38f, capped(team_sums(vec4<f32>({% for j in range(4) %}product{{ [4 * g + j, HEADS - 1] | min }}{{ ", " if not loop.last }}{% endfor %}), member){{ " * scales.x" if int8 }}), seen);
      top{{ g }} = max(top{{ g }}, score{{ g }});
{% if split %}
      highest{{ g }} = select(highest{{ g }}, score{{ g }}, highest{{ g }} == -3.0e38f);
{% endif %}
      let share{{ g }} = select(0.0f, exp(score{{ g }} - highest{{ g }}), seen);
      total{{ g }} += share{{ g }};
{% endfor %}
{% for r in range(HEADS) %}
      let weight{{ r }} = subgroupShuffle(share{{ r // 4 }}, first_member + {{ r % 4 }}u);
{% endfor %}
      // Not sooner: while the processor reads these, the weights become ready.
{% for k in range(2 * OWN_CHUNKS) %}
      let v{{ k }} = kv_v[{{ values("place") }} + column{{ k }}];
{% endfor %}
{% if int8 %}
{% for r in range(HEADS) %}
      let scaled{{ r }} = weight{{ r }} * scales.y;
{% endfor %}
{% endif %}
{% for i in range(OWN) %}
      let vq{{ i }} = {{ quad("v%d" % (i // QPC), i % QPC) }};
{% for r in range(HEADS) %}
      sum{{ r }}_{{ i }} += {{ "scaled" if int8 else "weight" }}{{ r }} * vq{{ i }};
{% endfor %}
{% endfor %}
    }
    let rise = {% for g in range(GROUPS) %}{{ "max(" if not loop.last }}top{{ g }} - highest{{ g }}{{ ", " if not loop.last }}{% endfor %}{{ ")" * (GROUPS - 1) }};
    if (!subgroupAny(rise > {{ SLACK | f32 }})) {
      break;
    }
{% for g in range(GROUPS) %}
    highest{{ g }} = max(highest{{ g }}, top{{ g }});
{% endfor %}
  }
  // For the compiler, a use of what was touched; the score stays what it is.
  highest0 = select(highest0, highest0 + 1.0e-37f, touched == 1u);

  // The two teams of a subgroup meet; then each writes a half.
  if (teams > 1u) {
{% for g in range(GROUPS) %}
    let higher{{ g }} = max(highest{{ g }}, subgroupShuffleXor(highest{{ g }}, 4u));
    let decay{{ g }} = exp(highest{{ g }} - higher{{ g }});
    highest{{ g }} = higher{{ g }};
    total{{ g }} *= decay{{ g }};
    total{{ g }} += subgroupShuffleXor(total{{ g }}, 4u);
{% endfor %}
{% for r in range(HEADS) %}
    let decay_of{{ r }} = subgroupShuffle(decay{{ r // 4 }}, first_member + {{ r % 4 }}u);
{% for i in range(OWN) %}
    sum{{ r }}_{{ i }} *= decay_of{{ r }};
    sum{{ r }}_{{ i }} += subgroupShuffleXor(sum{{ r }}_{{ i }}, 4u);
{% endfor %}
{% endfor %}
  }
{% if split %}
{% for g in range(GROUPS) %}
  if (team == 0u && member + {{ 4 * g }}u < {{ "min(heads_left, %du)" % HEADS if PARTS * HEADS > GROUP else "%du" % HEADS }}) {
    scratch0[(piece.w * {{ H }}u + first_head + own_head{{ g }}) * {{ QUADS + 1 }}u + {{ QUADS }}u] = vec4<f32>(highest{{ g }}, total{{ g }}, 0.0f, 0.0f);
  }
{% endfor %}
{% else %}
{% for g in range(GROUPS) %}
{% if sinks %}
  let sink{{ g }} = sinks[{{ "min(first_head + own_head%d, %du)" % (g, H - 1) }}];
  let most{{ g }} = max(highest{{ g }}, sink{{ g }});
  let share{{ g }} = exp(highest{{ g }} - most{{ g }});
  let factor{{ g }} = share{{ g }} / (total{{ g }} * share{{ g }} + exp(sink{{ g }} - most{{ g }}));
{% else %}
  let factor{{ g }} = 1.0f / total{{ g }};
{% endif %}
{% endfor %}
{% for r in range(HEADS) %}
  let inverse{{ r }} = subgroupShuffle(factor{{ r // 4 }}, first_member + {{ r % 4 }}u);
{% endfor %}
{% endif %}
  for (var half = team; half < 2u; half += teams) {
{% for r in range(HEADS) %}
{% if PARTS * HEADS > GROUP %}
    if ({{ r }}u < heads_left) {
{% else %}
    {
{% endif %}
{% if split %}
      let out = (piece.w * {{ H }}u + first_head + {{ r }}u) * {{ QUADS + 1 }}u + half * {{ HALF }}u;
{% else %}
      let out = (row * {{ H }}u + first_head + {{ r }}u) * {{ QUADS }}u + half * {{ HALF }}u;
{% endif %}
{% for k in range(OWN_CHUNKS) %}
{% if RAGGED and loop.last %}
      if (member + {{ 4 * k }}u < {{ CHUNKS // 2 }}u) {
{% else %}
      {
{% endif %}
{% for n in range(QPC) %}
{% set value = "select(sum%d_%d, sum%d_%d, half == 1u)" % (r, k * QPC + n, r, OWN // 2 + k * QPC + n) %}
{% if split %}
        scratch0[out + column{{ k }} * {{ QPC }}u + {{ n }}u] = {{ value }};
{% else %}
        y[out + column{{ k }} * {{ QPC }}u + {{ n }}u] = {{ value }} * inverse{{ r }};
{% endif %}
{% endfor %}
      }
{% endfor %}
    }
{% endfor %}
  }
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_size) subgroup: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
{% if split %}
  let list = vec2<u32>(work[group.y].xy);
  for (var item = list.x; item < list.y; item++) {
    attend(group.x, subgroup, lane, vec4<u32>(work[item]));
  }
{% else %}
  attend(group.x, subgroup, lane, group.y);
{% endif %}
}
