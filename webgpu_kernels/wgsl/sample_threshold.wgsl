// The lowest logit that top-k or top-p keeps: exact to the last bit, ties kept, without a sort. A search starts at a
// bound that block maxima alone prove, reads no block that lies below it, and ends as soon as the tokens in question fit
// into a list. Logits are compared as unsigned integers in the order of the floats.
// While a bound is sought, the first three hold maxima, masses and weights of blocks; later `entries` holds the ids of the
// blocks to read, and `weights` the list.
var<workgroup> entries: array<u32, {{ BLOCKS }}>;
var<workgroup> masses: array<f32, {{ BLOCKS }}>;
var<workgroup> weights: array<f32, {{ [BLOCKS, LIST] | max }}>;
var<workgroup> ranked: array<f32, {{ LIST }}>;
var<workgroup> listed: atomic<u32>;
var<workgroup> counted: u32;
var<workgroup> low: u32;
var<workgroup> high: u32;
var<workgroup> fitting: u32;

fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// The lowest logit whose key is at least this one. None lies between zero and the normal floats.
fn logit_from(key: u32) -> f32 {
  let bits = select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u);
  let tiny = (bits & 0x7f800000u) == 0u && (bits & 0x7fffffffu) != 0u;
  return bitcast<f32>(select(bits, select(0x00800000u, 0u, bits > 0x7fffffffu), tiny));
}

// What a token adds to the sum that a threshold is to reach: 1, or its probability over that of the likeliest.
fn share_of(logit: f32, highest: f32, counting: bool) -> f32 {
  return select(exp(logit - highest), 1.0f, counting);
}

// Lists the blocks with a token of at least this key and weight, in order; their number. `blocks`: the sequence's first.
fn list_blocks(tid: u32, blocks: u32, highest: f32, key: u32, least: f32) -> u32 {
  let begin = min(tid * {{ OWN_BLOCKS }}u, {{ BLOCKS }}u);
  let end = min(begin + {{ OWN_BLOCKS }}u, {{ BLOCKS }}u);
  var count = 0u;
  for (var b = begin; b < end; b++) {
    let likeliest = scratch1[blocks + b].x;
    count += select(0u, 1u, ordered(likeliest) >= key && exp(likeliest - highest) >= least);
  }
  var place = u32(scan(tid, f32(count)).x);
  for (var b = begin; b < end; b++) {
    let likeliest = scratch1[blocks + b].x;
    if (ordered(likeliest) >= key && exp(likeliest - highest) >= least) {
      entries[place] = b;
      place++;
    }
  }
  if (tid == {{ THREADS - 1 }}u) {
    counted = place;
  }
  return workgroupUniformLoad(&counted);
}

// The highest of {{ CANDIDATES }} block maxima at which blocks prove that `goal` is reached: a block that goes so far has its
// maximum's share there, and all of its mass but what {{ BLOCK }} tokens below could have. 0 if none does.
fn proven_bound(tid: u32, blocks: u32, highest: f32, counting: bool, goal: f32) -> u32 {
  for (var b = tid; b < {{ BLOCKS }}u; b += {{ THREADS }}u) {
    let block = scratch1[blocks + b];
    let share = share_of(block.x, highest, counting);
    entries[b] = ordered(block.x);
    weights[b] = share;
    masses[b] = select(block.z * share, 1.0f, counting);
  }
  if (tid == 0u) {
    atomicStore(&listed, 0u);
  }
  workgroupBarrier();
  // {{ THREADS // CANDIDATES }} invocations share a candidate.
  let candidate = tid / {{ THREADS // CANDIDATES }}u * {{ BLOCKS }}u / {{ CANDIDATES }}u;
  let key = entries[candidate];
  let below = {{ BLOCK | f32 }} * weights[candidate];
  var sum = 0.0f;
  for (var i = tid % {{ THREADS // CANDIDATES }}u; i < {{ BLOCKS }}u; i += {{ THREADS // CANDIDATES }}u) {
    sum += select(0.0f, max(weights[i], masses[i] - below), entries[i] >= key);
  }
  scan_parts[tid] = sum;
  workgroupBarrier();
  if (tid % {{ THREADS // CANDIDATES }}u == 0u) {
    sum = 0.0f;
    for (var i = 0u; i < {{ THREADS // CANDIDATES }}u; i++) {
      sum += scan_parts[tid + i];
    }
    if (sum >= goal) {
      atomicMax(&listed, key);
    }
  }
  workgroupBarrier();
  if (tid == 0u) {
    low = atomicLoad(&listed);
  }
  return workgroupUniformLoad(&low);
}

// Collects the logits of keys begin .. end - 1 from the listed blocks, in any order; how many there are.
fn list_tokens(tid: u32, row: u32, count: u32, begin: u32, end: u32) -> u32 {
  if (tid == 0u) {
    atomicStore(&listed, 0u);
  }
  workgroupBarrier();
  for (var i = tid; i < count * {{ BLOCK }}u; i += {{ THREADS }}u) {
    let logit = scratch0[row + entries[i / {{ BLOCK }}u] * {{ BLOCK }}u + i % {{ BLOCK }}u];
    let key = ordered(logit);
    if (key >= begin && key < end) {
      let place = atomicAdd(&listed, 1u);
      if (place < {{ LIST }}u) {
        weights[place] = logit;
      }
    }
  }
  workgroupBarrier();
  if (tid == 0u) {
    counted = atomicLoad(&listed);
  }
  return workgroupUniformLoad(&counted);
}

// The key of the listed logit at which `above` plus the shares so far, likeliest first, reach the goal; `otherwise` if
// none does. The order of equals does not matter, so neither does that of the list. Without a goal (negative), it is
// the part `asked` of what is listed.
fn listed_threshold(
  tid: u32,
  highest: f32,
  counting: bool,
  count: u32,
  asked: f32,
  goal: f32,
  above: f32,
  otherwise: u32,
) -> u32 {
  for (var i = tid; i < count; i += {{ THREADS }}u) {
    let logit = weights[i];
    var rank = 0u;
    for (var j = 0u; j < count; j++) {
      let other = weights[j];
      rank += select(0u, 1u, other > logit || (other == logit && j < i));
    }
    ranked[rank] = logit;
  }
  workgroupBarrier();
  for (var i = tid; i < count; i += {{ THREADS }}u) {
    weights[i] = share_of(ranked[i], highest, counting);
  }
  workgroupBarrier();
  if (tid == 0u) {
    var aim = goal;
    if (aim < 0.0f) {
      aim = 0.0f;
      for (var i = 0u; i < count; i++) {
        aim += weights[i];
      }
      aim *= asked;
    }
    low = otherwise;
    var sum = above;
    for (var i = 0u; i < count; i++) {
      sum += weights[i];
      if (sum >= aim) {
        low = ordered(ranked[i]);
        break;
      }
    }
  }
  return workgroupUniformLoad(&low);
}

// Sums over all invocations, for the first of them.
fn first_sums(tid: u32, value: vec4<f32>) -> vec4<f32> {
  vec4_f32_parts[tid] = value;
  workgroupBarrier();
  var sum = vec4<f32>();
  if (tid < 16u) {
    for (var i = tid; i < {{ THREADS // 16 }}u * params.sixteen; i += 16u) {
      sum += vec4_f32_parts[i];
    }
    vec4_f32_sums[tid] = sum;
  }
  workgroupBarrier();
  if (tid == 0u) {
    for (var i = 1u; i < params.sixteen; i++) {
      sum += vec4_f32_sums[i];
    }
  }
  return sum;
}

// The highest key, at least `bound`, such that the tokens from there on reach the goal: `asked` of them, or the part
// `asked` of a mass, which is `total` or (negative) that of all tokens from the bound on. `fits`: the list may do.
fn threshold(
  tid: u32,
  row: u32,
  blocks: u32,
  highest: f32,
  counting: bool,
  asked: f32,
  total: f32,
  bound: u32,
  fits: bool,
) -> u32 {
  if (tid == 0u) {
    high = ordered(highest) + 1u;
    fitting = select(0u, 1u, fits || {{ PADDED }}u <= {{ LIST }}u);
  }
  var begin = max(bound, ordered({{ LOWEST | f32 }}));
  var end = workgroupUniformLoad(&high);
  // The goal, and what lies above `end`; the first invocation knows.
  var goal = select(asked * total, asked, counting);
  var above = 0.0f;
  // A pass weighs what is left at 16 places of the range, and so leaves a 16th of it: at most 8 passes for 32 bits.
  while (end - begin > 1u) {
    let count = list_blocks(tid, blocks, highest, begin, 0.0f);
    if (workgroupUniformLoad(&fitting) != 0u) {
      let tokens = list_tokens(tid, row, count, begin, end);
      if (tokens <= {{ LIST }}u) {
        return listed_threshold(tid, highest, counting, tokens, asked, goal, above, begin);
      }
    }
    let width = end - begin;
    let step = width / 16u + select(0u, 1u, width % 16u != 0u);
    let ceiling = logit_from(end);
    // Places past the range ask for more than the highest key in it: nothing weighs anything there.
{% for q in range(4) %}
    let places{{ q }} = vec4<f32>(
{% for i in range(4 * q, 4 * q + 4) %}
      logit_from(begin + min({{ i }}u * step, width)),
{% endfor %}
    );
    var sums{{ q }} = vec4<f32>();
{% endfor %}
    for (var i = tid; i < count * {{ BLOCK }}u; i += {{ THREADS }}u) {
      let logit = scratch0[row + entries[i / {{ BLOCK }}u] * {{ BLOCK }}u + i % {{ BLOCK }}u];
      let share = select(0.0f, share_of(logit, highest, counting), logit < ceiling);
{% for q in range(4) %}
      sums{{ q }} += select(vec4<f32>(), vec4<f32>(share), vec4<f32>(logit) >= places{{ q }});
{% endfor %}
    }
    // The first invocation gets the sums.
    var reached = array<vec4<f32>, 4>(sums0, sums1, sums2, sums3);
    for (var i = 0u; i < params.sixteen / 4u; i++) {
      reached[i] = first_sums(tid, reached[i]);
    }
    if (tid == 0u) {
      if (goal < 0.0f) {
        goal = asked * reached[0].x;
      }
      var place = 0u;
      for (var i = 1u; i < params.sixteen && i * step < width; i++) {
        if (above + reached[i / 4u][i % 4u] >= goal) {
          place = i;
        }
      }
      low = begin + place * step;
      high = end;
      let here = reached[place / 4u][place % 4u];
      var higher = 0.0f;
      if (place < 15u && (place + 1u) * step < width) {
        high = begin + (place + 1u) * step;
        higher = reached[(place + 1u) / 4u][(place + 1u) % 4u];
      }
      // No token in the new range has a smaller share than one at its lower end would have.
      let least = share_of(logit_from(low), highest, counting);
      fitting = select(0u, 1u, here - higher < {{ LIST | f32 }} * least);
      above += higher;
    }
    begin = workgroupUniformLoad(&low);
    end = workgroupUniformLoad(&high);
  }
  return begin;
}
