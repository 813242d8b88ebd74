eckart svd A.npy --rank 2 --memory 100
