eckart svd A.npy --engine fast
