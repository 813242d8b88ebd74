eckart svd A.npy --rank 4
