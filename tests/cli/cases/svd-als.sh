eckart svd A.npy --rank 4 --engine als --iterations 3
