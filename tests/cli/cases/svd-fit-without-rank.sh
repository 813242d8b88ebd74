eckart svd A.npy --engine als
