eckart svd A.npy --engine als --rank 17
