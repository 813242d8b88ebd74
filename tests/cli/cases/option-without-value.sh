eckart svd A.npy --rank
