eckart svd S.npy --symmetric --rank 3
