// Running sums over the workgroup's {{ THREADS }} invocations, always added in the same order.
var<workgroup> scan_parts: array<f32, {{ THREADS }}>;
var<workgroup> scan_sums: array<f32, 16>;

// The sum of the values of all invocations before this one, and that of all. An invocation reads its own part only, so
// any later call may follow at once.
fn scan(tid: u32, value: f32) -> vec2<f32> {
  scan_parts[tid] = value;
  workgroupBarrier();
  if (tid < 16u) {
    var sum = 0.0f;
    for (var i = tid * {{ THREADS // 16 }}u; i < tid * {{ THREADS // 16 }}u + {{ THREADS // 256 }}u * params.sixteen; i++) {
      let part = scan_parts[i];
      scan_parts[i] = sum;
      sum += part;
    }
    scan_sums[tid] = sum;
  }
  workgroupBarrier();
  var before = 0.0f;
  var total = 0.0f;
  for (var i = 0u; i < params.sixteen; i++) {
    before = select(before, total, i == tid / {{ THREADS // 16 }}u);
    total += scan_sums[i];
  }
  return vec2<f32>(before + scan_parts[tid], total);
}
