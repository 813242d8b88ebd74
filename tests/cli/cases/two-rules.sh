eckart svd A.npy --rank 2 --energy 0.9
