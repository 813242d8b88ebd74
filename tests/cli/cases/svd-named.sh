eckart svd two.npz::right --rank 1 | grep '^matrix'
eckart svd model::encoder.layer.0.attention.self.query --rank 1 | grep '^matrix'
eckart svd single.safetensors::encoder.layer.1.output.dense.weight --rank 1 | grep '^matrix'
