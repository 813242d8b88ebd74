eckart svd nan.npy --engine gradient --rank 2
