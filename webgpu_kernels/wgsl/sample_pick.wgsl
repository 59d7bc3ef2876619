// sample_pick: draws the next token of a sequence from its adjusted logits (scratch0, with block maxima in scratch1).
// Grid: x = sequence s. No sort: top-k and top-p are thresholds on the logit, found by bisection over the floats in
// their order as integers, hence exact; ties at a threshold are kept. The draw inverts the distribution in token order.
// Writes sampled[s, 0], token_ids[s] and, when asked for, the token's count in its slot.
{% from "reduce.wgsl" import reductions %}
{% include "bindings.wgsl" %}

{% include "philox.wgsl" %}

{% include "better.wgsl" %}

{{ reductions("vec2<f32>", THREADS, [("best_of", "better(a, b)")]) }}
{{ reductions("vec4<f32>", THREADS, [("sums_of", "a + b")]) }}
var<workgroup> masses: array<f32, {{ THREADS }}>;
var<workgroup> picked: u32;

// Unsigned integers in the order of the floats they come from.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// Weight of a token that survives the threshold and min-p (relative to the likeliest, whose weight is 1).
fn kept_weight(logit: f32, highest: f32, lowest: u32, min_p: f32) -> f32 {
  let weight = exp(logit - highest);
  return select(0.0f, weight, ordered(logit) >= lowest && weight >= min(min_p, 1.0f));
}

// The highest threshold on ordered(logit) that leaves at least top_k tokens, then the highest that leaves them at least
// top_p of their mass; 0 leaves all. A pass weighs what is left at the lowest and three further candidates of a range,
// and so quarters it: 16 passes for 32 bits.
fn threshold(tid: u32, row: u32, highest: f32, top_k: u32, top_p: f32) -> u32 {
  let first_pass = select(16u, 0u, top_k > 0u && top_k < {{ VOCAB }}u);
  let end_pass = select(16u, 32u, top_p < 1.0f);
  let end = ordered(highest) + 1u;
  var lowest = 0u;
  var width = end;
  var goal = f32(top_k);
  for (var i = first_pass; i < end_pass; i++) {
    let counting = i < 16u;
    let step = width / 4u + select(0u, 1u, width % 4u != 0u);
    // Candidates past the range ask for more than the highest: nothing weighs anything there.
    let offsets = min(vec4<u32>(0u, 1u, 2u, 3u) * step, vec4<u32>(width));
    var weights = vec4<f32>();
    for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
      let logit = scratch0[row + v];
      let weight = select(exp(logit - highest), 1.0f, counting);
      weights += select(vec4<f32>(), vec4<f32>(weight), vec4<u32>(ordered(logit)) >= lowest + offsets);
    }
    weights = sums_of(tid, weights);
    if (i == 16u) {
      goal = max(top_p, 0.0f) * weights.x;
    }
    let enough = weights >= vec4<f32>(goal);
    let passed = select(
      select(select(0u, offsets.y, enough.y && offsets.y < width), offsets.z, enough.z && offsets.z < width),
      offsets.w,
      enough.w && offsets.w < width,
    );
    lowest += passed;
    width = select(min(step, width - passed), end - lowest, i == 15u);
  }
  return lowest;
}

@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let seq = group.x;
  let row = seq * {{ VOCAB }}u;
  let settings = seq * {{ SETTINGS }}u;
  let temperature = bitcast<f32>(sampling[settings]);
  let top_p = bitcast<f32>(sampling[settings + 1u]);
  let min_p = bitcast<f32>(sampling[settings + 2u]);
  let top_k = sampling[settings + 5u];

  // The lowest token among the likeliest: the greedy choice.
  var best = vec2<f32>({{ LOWEST | f32 }}, 0.0f);
  for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
    best = better(best, scratch1[seq * {{ BLOCKS }}u + b]);
  }
  best = best_of(tid, best);
  let highest = best.x;
  if (tid == 0u) {
    picked = min(u32(best.y), {{ VOCAB - 1 }}u);
  }
  workgroupBarrier();

  if (temperature > 0.0f) {
    let lowest = threshold(tid, row, highest, top_k, top_p);
    // Each invocation weighs a run of tokens, then finds its place in the running sum.
    let begin = tid * {{ RUN }}u;
    let end = min(begin + {{ RUN }}u, {{ VOCAB }}u);
    var mass = 0.0f;
    for (var v = begin; v < end; v++) {
      mass += kept_weight(scratch0[row + v], highest, lowest, min_p);
    }
    masses[tid] = mass;
    workgroupBarrier();
    var before = 0.0f;
    var total = 0.0f;
    for (var i = 0u; i < {{ THREADS }}u; i++) {
      before = select(before, total, i == tid);
      total += masses[i];
    }
    let word = philox(
      vec4<u32>(sampling[settings + 8u], 0u, 0u, 0u),
      vec2<u32>(sampling[settings + 6u], sampling[settings + 7u]),
    );
    // 24 bits are exact in an f32, and keep `goal` below `total`.
    let goal = f32(word >> 8u) * {{ (2 ** -24) | f32 }} * total;
    if (mass > 0.0f && before <= goal && goal < before + mass) {
      var sum = before;
      for (var v = begin; v < end; v++) {
        let weight = kept_weight(scratch0[row + v], highest, lowest, min_p);
        if (weight > 0.0f && sum <= goal) {
          picked = v;
        }
        sum += weight;
      }
    }
    workgroupBarrier();
  }

  if (tid == 0u) {
    sampled[seq * {{ RESULT }}u] = picked;
    token_ids[seq] = i32(picked);
    if ((sampling[settings + 9u] & 2u) != 0u) {
      token_counts[u32(slots[seq]) * {{ VOCAB }}u + picked] += 1u;
    }
  }
}
