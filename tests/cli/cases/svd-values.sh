eckart svd A.npy
