eckart svd nan.npy --rank 1
