// Which of two (logit, token id) is the likelier; of equals the lower id. Ids are exact in an f32 up to 2^24.
fn likelier(a: vec2<f32>, b: vec2<f32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y < b.y);
}
