eckart svd A.npy --spectral-proof
