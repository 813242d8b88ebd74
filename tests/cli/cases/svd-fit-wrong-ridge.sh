eckart svd A.npy --engine als --rank 2 --ridge -1
