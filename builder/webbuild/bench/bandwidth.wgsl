// What memory gives: `copy_all` reads and writes, `read_all` only reads. Grid: WORKGROUPS workgroups.
//
// A workgroup goes through a stretch of its own, its threads side by side, four loads of each under
// way. The sum of `read_all` is written only if it is what it never is, so that no compiler drops the
// reads. Buffers hold a multiple of WORKGROUPS * 4 * THREADS vectors.

const WORKGROUPS = 1024u;
const THREADS = 256u;

@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4<u32>>;

@compute @workgroup_size(THREADS)
fn copy_all(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let stretch = arrayLength(&source) / WORKGROUPS;
  let end = (group.x + 1u) * stretch;
  for (var i = group.x * stretch + thread; i < end; i += 4u * THREADS) {
    destination[i] = source[i];
    destination[i + THREADS] = source[i + THREADS];
    destination[i + 2u * THREADS] = source[i + 2u * THREADS];
    destination[i + 3u * THREADS] = source[i + 3u * THREADS];
  }
}

@compute @workgroup_size(THREADS)
fn read_all(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let stretch = arrayLength(&source) / WORKGROUPS;
  let end = (group.x + 1u) * stretch;
  var sum = vec4<u32>(0u);
  for (var i = group.x * stretch + thread; i < end; i += 4u * THREADS) {
    sum += source[i] + source[i + THREADS] + source[i + 2u * THREADS] + source[i + 3u * THREADS];
  }
  if (all(sum == vec4<u32>(0x5eed5eedu))) {
    destination[group.x] = sum;
  }
}
