eckart svd A.npy --engine svd
