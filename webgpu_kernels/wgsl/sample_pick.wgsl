// sample_pick: draws a token from a row of adjusted logits (scratch0) and what is known of their blocks
// (scratch1). Grid: x = row s. Greedy reads blocks only, a draw without limits one block more{% if limits %}; top-k, top-p and
// min-p read the blocks that reach their thresholds{% else %}, and there are none here{% endif %}. The draw inverts the distribution in token order.
// Writes sampled[s, 0], last_tokens of the row's slot and, when asked for, the token's count in that slot; where a mask says what may be
// drawn, its tag as sampled[s, 3], and the row of masks that the token leads to: what the slot's next draw goes by without the host.
{% from "reduce.wgsl" import reductions %}
{% set weight = "kept_weight(%s, highest, lowest, least)" if limits else "exp(%s - highest)" %}
{% include "bindings.wgsl" %}

{% include "philox.wgsl" %}

{% include "better.wgsl" %}

{% include "mask_row.wgsl" %}

{{ reductions("vec4<f32>", THREADS, [("best_of", "select(a, b, likelier(b.xy, a.xy))")], "params.sixteen") }}
{% include "sample_scan.wgsl" %}

{% if limits %}
{% include "sample_threshold.wgsl" %}

{% else %}
var<workgroup> masses: array<f32, {{ BLOCKS }}>;
{% endif %}
var<workgroup> chosen_block: atomic<u32>;
var<workgroup> chosen_token: atomic<u32>;
var<workgroup> rest: f32;

{% if limits %}
// Weight of a token that survives the threshold and min-p (relative to the likeliest, whose weight is 1).
fn kept_weight(logit: f32, highest: f32, lowest: u32, least: f32) -> f32 {
  let weight = exp(logit - highest);
  return select(0.0f, weight, ordered(logit) >= lowest && weight >= least);
}

// The masses of the listed blocks' survivors: 16 invocations share a block.
fn weigh_blocks(tid: u32, row: u32, highest: f32, count: u32, lowest: u32, least: f32) {
  for (var first = 0u; first < count; first += {{ THREADS // 16 }}u) {
    let i = first + tid / 16u;
    var sum = 0.0f;
    if (i < count) {
      let begin = row + entries[i] * {{ BLOCK }}u;
      for (var j = tid % 16u; j < {{ BLOCK }}u; j += 16u) {
        sum += kept_weight(scratch0[begin + j], highest, lowest, least);
      }
    }
    scan_parts[tid] = sum;
    workgroupBarrier();
    if (i < count && tid % 16u == 0u) {
      var mass = 0.0f;
      for (var j = 0u; j < params.sixteen; j++) {
        mass += scan_parts[tid + j];
      }
      masses[i] = mass;
    }
    workgroupBarrier();
  }
}

{% endif %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let seq = group.x;
  let row = seq * {{ PADDED }}u;
  let blocks = seq * {{ BLOCKS }}u;
  let settings = seq * {{ SETTINGS }}u;
  let temperature = bitcast<f32>(sampling[settings]);
{% if limits %}
  let top_p = bitcast<f32>(sampling[settings + 1u]);
  let least = min(bitcast<f32>(sampling[settings + 2u]), 1.0f);
  let top_k = sampling[settings + 5u];
{% endif %}

  // The lowest token among the likeliest: the greedy choice.
  var best = vec4<f32>({{ PADDING | f32 }}, 0.0f, 0.0f, 0.0f);
  for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
    let other = scratch1[blocks + b];
    best = select(best, other, likelier(other.xy, best.xy));
  }
  best = best_of(tid, best);
  let highest = best.x;
  var picked = u32(best.y);

  if (temperature > 0.0f) {
{% if limits %}
    let limited = top_k > 0u && top_k < {{ VOCAB }}u;
    // Top-k, then top-p of what it leaves.
    var lowest = 0u;
    for (var stage = select(1u, 0u, limited); stage < select(1u, 2u, top_p < 1.0f); stage++) {
      let counting = stage == 0u;
      let asked = select(max(top_p, 0.0f), f32(top_k), counting);
      var total = -1.0f;
      var fits = !limited || top_k <= {{ LIST }}u;
      if (counting == limited) {
        var mass = 0.0f;
        for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
          let block = scratch1[blocks + b];
          mass += block.z * exp(block.x - highest);
        }
        total = scan(tid, mass).y;
        // A margin for the rounding of sums.
        let goal = select(asked * total * {{ (1 + 2 ** -13) | f32 }}, asked, counting);
        lowest = proven_bound(tid, blocks, highest, counting, goal);
        fits = fits && lowest > 0u;
      }
      lowest = threshold(tid, row, blocks, highest, counting, asked, total, lowest, fits);
    }

    // What is left of each block that has anything left; each invocation looks at a run of them.
    let count = list_blocks(tid, blocks, highest, lowest, least);
    if (lowest > 0u || least > 0.0f) {
      weigh_blocks(tid, row, highest, count, lowest, least);
    } else {
      for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
        masses[b] = scratch1[blocks + b].z * exp(scratch1[blocks + b].x - highest);
      }
    }
{% else %}
    const count = {{ BLOCKS }}u;
    for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
      masses[b] = scratch1[blocks + b].z * exp(scratch1[blocks + b].x - highest);
    }
{% endif %}
    if (tid == 0u) {
      atomicStore(&chosen_block, 0u);
      atomicStore(&chosen_token, 0u);
    }
    workgroupBarrier();
    let begin = min(tid * {{ OWN_BLOCKS }}u, count);
    let end = min(begin + {{ OWN_BLOCKS }}u, count);
    var mass = 0.0f;
    for (var i = begin; i < end; i++) {
      mass += masses[i];
    }
    let run = scan(tid, mass);
    let word = philox(
      vec4<u32>(sampling[settings + 8u], 0u, 0u, 0u),
      vec2<u32>(sampling[settings + 6u], sampling[settings + 7u]),
    );
    // 24 bits are exact in an f32, and keep `goal` below the total.
    let goal = f32(word >> 8u) * {{ (2 ** -24) | f32 }} * run.y;
    // The last block that begins at or before the goal, counted from 1.
    var sum = run.x;
    var mine = 0u;
    var left = 0.0f;
    for (var i = begin; i < end; i++) {
      if (masses[i] > 0.0f && sum <= goal) {
        mine = i + 1u;
        left = goal - sum;
      }
      sum += masses[i];
    }
    if (mine > 0u) {
      atomicMax(&chosen_block, mine);
    }
    workgroupBarrier();
    let place = atomicLoad(&chosen_block);
    if (place > 0u && place == mine) {
      rest = left;
    }
{% if limits %}
    // Nothing is left if min-p is not a number: the greedy choice then.
    let block = entries[max(place, 1u) - 1u];
{% else %}
    let block = max(place, 1u) - 1u;
{% endif %}
    let first = row + block * {{ BLOCK }}u + tid * {{ OWN_TOKENS }}u;
    mass = 0.0f;
    for (var i = first; i < first + {{ OWN_TOKENS }}u; i++) {
      mass += {{ weight % "scratch0[i]" }};
    }
    sum = scan(tid, mass).x;
    // The last token that begins at or before the rest of the goal, likewise.
    mine = 0u;
    for (var i = 0u; i < {{ OWN_TOKENS }}u; i++) {
      let weight = {{ weight % "scratch0[first + i]" }};
      if (weight > 0.0f && sum <= rest) {
        mine = tid * {{ OWN_TOKENS }}u + i + 1u;
      }
      sum += weight;
    }
    if (mine > 0u && place > 0u) {
      atomicMax(&chosen_token, mine);
    }
    workgroupBarrier();
    if (atomicLoad(&chosen_token) > 0u) {
      picked = block * {{ BLOCK }}u + atomicLoad(&chosen_token) - 1u;
    }
  }

  if (tid == 0u) {
    sampled[seq * {{ RESULT }}u] = picked;
    let slot = u32(slots[seq]);
    last_tokens[slot] = i32(picked);
    if ((sampling[settings + 9u] & 4u) != 0u) {
      let by = mask_row(seq) * {{ MASK_ROW }}u;
      sampled[seq * {{ RESULT }}u + 3u] = masks[by + 1u];
      let next = masks[by + {{ MASK_HEAD + MASK_WORDS }}u + picked / 4u];
      masks[slot * {{ MASK_ROW }}u] = (next >> (8u * (picked % 4u))) & 255u;
    }
    if ((sampling[settings + 9u] & 2u) != 0u) {
      token_counts[slot * {{ VOCAB }}u + picked] += 1u;
    }
  }
}
