eckart svd A.npy --memory 3XB
