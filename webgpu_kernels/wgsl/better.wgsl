// The likelier of two (logit, token id): ids are exact in an f32 up to 2^24; of equals the lower id.
fn better(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}
