// The work of attention_prefill.wgsl for software adapters: as attention_teams.wgsl, without barriers and workgroup memory.
{% if shared %}
// attention_shared: what pieces of prefixes add to the attention of all sequences that begin with them. Grid: x = KV head,
// y = work: pieces one after another. A row is a query head of one of a piece's sequences; {{ ROWS }} share each load of keys and
// values, and the next {{ ROWS }} find them in the processor's caches.
{% else %}
// Grid: x = query head, y = tile, z = {{ ROWS }} rows of it, which share each load of keys and values.
{% endif %}
//
// Of four invocations of a subgroup, a team, each owns every fourth chunk of {{ 4 * QPC }} columns, of queries, keys, values and sums
// alike. A position is loaded once, by one team, which adds its scores up. Where subgroups have fewer invocations than the
// workgroup's {{ THREADS }}, every subgroup does the same work.
{% from "attention.wgsl" import page_row, keys, values, capped, quad, sees, rotated_query with context %}
{% from "turn.wgsl" import turn_functions %}
{% from "teams.wgsl" import team_sums %}
{% include "bindings.wgsl" %}

{% set QUADS = D // 4 %}
{% set OWN = OWN_CHUNKS * QPC %}
{% if shared %}
{{ turn_functions("vec4<f32>", QUARTER_TURN) }}
{{ rotated_query() }}
{% endif %}
{{ page_row() }}
{{ capped("f32") }}
{% if mask %}
{{ sees() }}
{% endif %}
{{ team_sums() }}

{% if shared %}
// Piece: the first item of `work` that names one of its rows, first and end position, rows. Takes up to {{ ROWS }} queries.
fn attend(kv_head: u32, subgroup: u32, lane: u32, piece: vec4<u32>, first_query: u32) {
  let count = min(piece.w * {{ GROUP }}u - first_query, {{ ROWS }}u);
  let seq = u32(work[piece.x].x);
  let end = piece.z;
{% if window %}
  // No row sees what is before.
  var begin = end;
  for (var i = 0u; i < piece.w; i++) {
    begin = min(begin, first_seen(u32(work[piece.x + i].x)));
  }
  begin = max(begin, piece.y);
{% else %}
  let begin = piece.y;
{% endif %}
{% else %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_size) subgroup: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
  let head = group.x;
  let kv_head = head / {{ GROUP }}u;
  let tile = tiles[group.y];
  let rows = clamp(u32(tile.y), 1u, {{ TILE_ROWS }}u);
  let first_row = group.z * {{ ROWS }}u;
  let count = min(rows - min(first_row, rows), {{ ROWS }}u);
  let first = u32(tile.x) + first_row;
  let seq = u32(tile.z);
  let position = u32(tile.w) + first_row;
{% if mask %}
  var end = 0u;
  for (var t = first; t < first + count; t++) {
    end = max(end, mask[t * params.mask_words + 1u]);
  }
  end = min(end, params.max_pages * {{ PAGE }}u);
{% else %}
  let end = select(0u, min(position + count, params.max_pages * {{ PAGE }}u), count > 0u);
{% endif %}
{% if mask and window %}
  var begin = end;
  for (var t = first; t < first + count; t++) {
    begin = min(begin, min(mask[t * params.mask_words], first_seen(t)));
  }
{% elif window %}
  let begin = max(position + 1u, {{ WINDOW }}u) - {{ WINDOW }}u;
{% else %}
  let begin = 0u;
{% endif %}
{% endif %}
  let teams = min(subgroup / 4u, {{ THREADS // 4 }}u);
  let team = lane / 4u % teams;
  let member = lane % 4u;
  let first_member = lane - member;
  // Only the compiler does not know that this is 1: so it leaves loops as they are, and is quick.
  let once = params.chunks / {{ CHUNKS }}u;

  // The member's columns of the queries, scaled; rows past the last repeat it.
  var mine: array<vec4<f32>, {{ ROWS * OWN }}>;
{% if shared %}
  for (var i = 0u; i < {{ ROWS * OWN }}u * once; i++) {
    let query = first_query + min(i / {{ OWN }}u, count - 1u);
    let chunk = i % {{ OWN }}u / {{ QPC }}u * 4u + member;
    let c = {{ "min(chunk, %du)" % (CHUNKS - 1) if RAGGED else "chunk" }} * {{ QPC }}u + i % {{ QPC }}u;
    let turned = rotated_query(u32(work[piece.x + query / {{ GROUP }}u].x), kv_head * {{ GROUP }}u + query % {{ GROUP }}u, c % {{ QUADS // 2 }}u);
    mine[i] = select(turned.low, turned.high, c >= {{ QUADS // 2 }}u){{ " * select(0.0f, 1.0f, chunk < %du)" % CHUNKS if RAGGED }};
  }
{% else %}
  for (var i = 0u; i < {{ ROWS * OWN }}u * once; i++) {
    let row = first + min(i / {{ OWN }}u, max(count, 1u) - 1u);
    let chunk = i % {{ OWN }}u / {{ QPC }}u * 4u + member;
    let at = (row * {{ H }}u + head) * {{ QUADS }}u + {{ "min(chunk, %du)" % (CHUNKS - 1) if RAGGED else "chunk" }} * {{ QPC }}u + i % {{ QPC }}u;
    mine[i] = q[at] * {{ "select(0.0f, %s, chunk < %du)" % (SCALE | f32, CHUNKS) if RAGGED else SCALE | f32 }};
  }
{% endif %}
{% for k in range(OWN_CHUNKS) %}
  let column{{ k }} = {{ "min(member + %du, %du)" % (4 * k, CHUNKS - 1) if RAGGED else "member + %du" % (4 * k) }};
{% endfor %}

  // Weights are relative to `highest`, at most {{ SLACK }} below the highest score: so sums are seldom scaled anew. Every member has
  // the `highest` of all rows; `own_highest` and `total` are those of the row whose score it adds up.
{% for g in range(ROWS // 4) %}
  var own_highest{{ g }} = -3.0e38f;
  var total{{ g }} = 0.0f;
{% if shared %}
{% if window %}
  let from{{ g }} = first_seen(u32(work[piece.x + (first_query + min({{ 4 * g }}u + member, count - 1u)) / {{ GROUP }}u].x));
{% endif %}
{% elif mask %}
  let token{{ g }} = first + min({{ 4 * g }}u + member, max(count, 1u) - 1u);
{% else %}
  let last{{ g }} = position + {{ 4 * g }}u + member;
{% endif %}
{% endfor %}
{% for r in range(ROWS) %}
  var highest{{ r }} = -3.0e38f;
{% for i in range(OWN) %}
  var sum{{ r }}_{{ i }} = vec4<f32>();
{% endfor %}
{% endfor %}
  for (var at = begin; at < end; at += teams) {
    let own = at + team;
    let place = page_row(seq, kv_head, min(own, end - 1u));
{% for k in range(OWN_CHUNKS) %}
    let k{{ k }} = kv_k[{{ keys("place") }} + column{{ k }}];
{% endfor %}
{% for i in range(OWN) %}
    let kq{{ i }} = {{ quad("k%d" % (i // QPC), i % QPC) }};
{% endfor %}
{% for r in range(ROWS) %}
    let product{{ r }} = {% for i in range(OWN) %}{{ " + " if i }}dot(mine[{{ r * OWN + i }}], kq{{ i }}){% endfor %};
{% endfor %}
{% if int8 %}
    let scales = scales_of(place);
{% endif %}
    var jump = 0.0f;
{% for g in range(ROWS // 4) %}
{% if shared %}
    let seen{{ g }} = own < end{{ " && own >= from%d" % g if window }};
{% elif mask %}
    let seen{{ g }} = own < end && sees(token{{ g }}, own);
{% elif window %}
    let seen{{ g }} = own < end && own <= last{{ g }} && last{{ g }} < own + {{ WINDOW }}u;
{% else %}
    let seen{{ g }} = own < end && own <= last{{ g }};
{% endif %}
    let kept{{ g }} = select(-3.0e38f, capped(team_sums(vec4<f32>({% for m in range(4) %}product{{ 4 * g + m }}{{ ", " if m < 3 }}{% endfor %}), member){{ " * scales.x" if int8 }}), seen{{ g }});
    jump = max(jump, kept{{ g }} - own_highest{{ g }});
{% endfor %}
{% for r in range(ROWS) %}
    let score{{ r }} = subgroupShuffle(kept{{ r // 4 }}, first_member + {{ r % 4 }}u);
{% endfor %}
    jump = max(jump, subgroupShuffleXor(jump, 1u));
    jump = max(jump, subgroupShuffleXor(jump, 2u));
    if (jump > {{ SLACK | f32 }}) {
{% for g in range(ROWS // 4) %}
      let own_higher{{ g }} = max(own_highest{{ g }}, kept{{ g }});
      total{{ g }} *= exp(own_highest{{ g }} - own_higher{{ g }});
      own_highest{{ g }} = own_higher{{ g }};
{% endfor %}
{% for r in range(ROWS) %}
      let higher{{ r }} = max(highest{{ r }}, score{{ r }});
      let decay{{ r }} = exp(highest{{ r }} - higher{{ r }});
      highest{{ r }} = higher{{ r }};
{% for i in range(OWN) %}
      sum{{ r }}_{{ i }} *= decay{{ r }};
{% endfor %}
{% endfor %}
    }
{% for g in range(ROWS // 4) %}
    let share{{ g }} = select(0.0f, exp(kept{{ g }} - own_highest{{ g }}), seen{{ g }});
    total{{ g }} += share{{ g }};
{% endfor %}
{% for k in range(OWN_CHUNKS) %}
    let v{{ k }} = kv_v[{{ values("place") }} + column{{ k }}];
{% endfor %}
{% for i in range(OWN) %}
    let vq{{ i }} = {{ quad("v%d" % (i // QPC), i % QPC) }};
{% endfor %}
{% for r in range(ROWS) %}
    let weight{{ r }} = subgroupShuffle(share{{ r // 4 }}, first_member + {{ r % 4 }}u){{ " * scales.y" if int8 }};
{% for i in range(OWN) %}
    sum{{ r }}_{{ i }} += weight{{ r }} * vq{{ i }};
{% endfor %}
{% endfor %}
  }

  // What each sum is multiplied with; then the two teams of a subgroup meet.
{% for g in range(ROWS // 4) %}
  var factor{{ g }} = 1.0f;
{% endfor %}
  if (teams > 1u) {
{% for g in range(ROWS // 4) %}
    let own_higher{{ g }} = max(own_highest{{ g }}, subgroupShuffleXor(own_highest{{ g }}, 4u));
    factor{{ g }} = exp(own_highest{{ g }} - own_higher{{ g }});
    own_highest{{ g }} = own_higher{{ g }};
    total{{ g }} *= factor{{ g }};
    total{{ g }} += subgroupShuffleXor(total{{ g }}, 4u);
{% endfor %}
  }
{% if not shared %}
{% for g in range(ROWS // 4) %}
{% if sinks %}
  let sink{{ g }} = sinks[head];
  let most{{ g }} = max(own_highest{{ g }}, sink{{ g }});
  let share{{ g }} = exp(own_highest{{ g }} - most{{ g }});
  factor{{ g }} *= share{{ g }} / (total{{ g }} * share{{ g }} + exp(sink{{ g }} - most{{ g }}));
{% else %}
  factor{{ g }} /= total{{ g }};
{% endif %}
{% endfor %}
{% endif %}
{% for r in range(ROWS) %}
  let factor_of{{ r }} = subgroupShuffle(factor{{ r // 4 }}, first_member + {{ r % 4 }}u);
{% for i in range(OWN) %}
  mine[{{ r * OWN + i }}] = sum{{ r }}_{{ i }} * factor_of{{ r }};
{% endfor %}
{% endfor %}
  for (var i = 0u; i < count * {{ OWN }}u; i++) {
    var value = mine[i];
    if (teams > 1u) {
      value += subgroupShuffleXor(value, 4u);
    }
    let chunk = i % {{ OWN }}u / {{ QPC }}u * 4u + member;
    if (i % teams == team{{ " && chunk < %du" % CHUNKS if RAGGED }}) {
{% if shared %}
      let query = first_query + i / {{ OWN }}u;
      let part = u32(work[piece.x + query / {{ GROUP }}u].y) * {{ H }}u + kv_head * {{ GROUP }}u + query % {{ GROUP }}u;
      scratch0[part * {{ QUADS + 1 }}u + chunk * {{ QPC }}u + i % {{ QPC }}u] = value;
{% else %}
      y[((first + i / {{ OWN }}u) * {{ H }}u + head) * {{ QUADS }}u + chunk * {{ QPC }}u + i % {{ QPC }}u] = value;
{% endif %}
    }
  }
{% if shared %}
{% for g in range(ROWS // 4) %}
  if (team == 0u && {{ 4 * g }}u + member < count) {
    let query = first_query + {{ 4 * g }}u + member;
    let part = u32(work[piece.x + query / {{ GROUP }}u].y) * {{ H }}u + kv_head * {{ GROUP }}u + query % {{ GROUP }}u;
    scratch0[part * {{ QUADS + 1 }}u + {{ QUADS }}u] = vec4<f32>(own_highest{{ g }}, total{{ g }}, 0.0f, 0.0f);
  }
{% endfor %}
{% endif %}
}
{% if shared %}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_size) subgroup: u32,
        @builtin(subgroup_invocation_id) lane: u32) {
  let list = vec2<u32>(work[params.works + group.y].xy);
  for (var item = list.x; item < list.y; item++) {
    let piece = vec4<u32>(work[item]);
    for (var query = 0u; query < piece.w * {{ GROUP }}u; query += {{ ROWS }}u) {
      attend(group.x, subgroup, lane, piece, query);
    }
  }
}
{% endif %}
