eckart svd missing.npy --json
