eckart svd A.npy --rank 1.5
